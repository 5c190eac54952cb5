// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Arrays of frames, kept for all threads together. The runtime's shared pool keeps some for each thread that returns
/// one, and a handle of the collector's with them; threads of a host that calls us come and go by the million.
/// Thread-safe.
/// </summary>
internal static class FramePool
{
    /// <summary>Longest array of which many are kept: that of most messages.</summary>
    public const int Short = 4 * 1024;

    /// <summary>Longest array that is kept at all.</summary>
    public const int Longest = 1024 * 1024;

    private const int MostShort = 512;
    private const int MostLong = 16;

    private static readonly ArrayPool<byte> Few = ArrayPool<byte>.Create(Longest, MostLong);
    private static readonly ArrayPool<byte> Many = ArrayPool<byte>.Create(Short, MostShort);

    /// <summary>An array of at least so many bytes; what is in them is not said.</summary>
    public static byte[] Rent(int length) => (length <= Short ? Many : Few).Rent(length);

    /// <summary>Gives an array back; whoever returns it uses it no more. One without length is none.</summary>
    public static void Return(byte[] array)
    {
        if (array.Length > 0)
            (array.Length <= Short ? Many : Few).Return(array);
    }
}
