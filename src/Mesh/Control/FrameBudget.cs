// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Control;

/// <summary>
/// Bytes of frames that wait to be sent, over all connections of a node or client. Only those of at least
/// <see cref="CountedFrom"/> bytes count: the small ones are bounded by the open calls of each connection. Thread-safe.
/// </summary>
internal sealed class FrameBudget
{
    /// <summary>Smallest frame that counts, in bytes.</summary>
    public const int CountedFrom = 16 * 1024;

    /// <summary>Most bytes that wait, over all connections.</summary>
    public const long MaxBytes = 256L << 20;

    private long _bytes;

    /// <summary>Bytes that wait now.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Counts a frame in; false: it cannot wait, there are too many.</summary>
    public bool TryTake(int bytes)
    {
        if (Interlocked.Add(ref _bytes, bytes) <= MaxBytes)
            return true;
        Interlocked.Add(ref _bytes, -bytes);
        return false;
    }

    /// <summary>Counts out a frame that was counted in.</summary>
    public void Return(int bytes) => Interlocked.Add(ref _bytes, -bytes);
}
