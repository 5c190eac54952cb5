// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// How long the head is that stands before bytes of memory on a socket: whole cache lines. The kernel copies a stream
/// into its pages one after the other; where those lie a few bytes beside the place that they are copied from or to,
/// the copy takes up to twice as long (Zen 3: 1.3 GB/s after heads of 1 to 4 bytes, 2.2 after 24, 2.9 after 64).
/// Benchmark: "mooncake-mesh bench transfer --transport engine".
/// </summary>
internal static class HeadRoom
{
    /// <summary>Bytes of a cache line: the shortest head.</summary>
    public const int Line = 64;

    /// <summary>The length on the wire of a head of so many bytes; what is added is zero.</summary>
    public static int Of(int bytes) => (bytes + Line - 1) & -Line;
}
