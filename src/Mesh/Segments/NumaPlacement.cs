// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Segments.Interop;

namespace Mooncake.Mesh.Segments;

/// <summary>Puts memory near the processor its segment names; a host with one NUMA node needs none of it.</summary>
internal static unsafe class NumaPlacement
{
    private const string NodesFolder = "/sys/devices/system/node";
    private const int MaskWords = 16;

    /// <summary>The fault of asking for <paramref name="node"/> on this host, or null.</summary>
    public static MeshError? Check(int node) =>
        node >= 0 && HasSeveralNodes()
        && (node >= MaskWords * 64 || !System.IO.Directory.Exists($"{NodesFolder}/node{node}"))
            ? new MeshError(MeshErrorCode.InvalidArgument, "config:segments",
                $"location is 'cpu:{node}'; this host has no such NUMA node ({NodesFolder})")
            : null;

    /// <summary>
    /// Prefers <paramref name="node"/> for pages not touched yet; preferred, not bound, as a full node would
    /// otherwise get the process killed.
    /// </summary>
    /// <returns>Why the memory is not placed, or null.</returns>
    public static string? Apply(nint address, long length, int node)
    {
        if (node < 0 || !HasSeveralNodes())
            return null;
        if (LibC.SYS_mbind < 0)
            return $"mbind is not known on {RuntimeInformation.ProcessArchitecture}";
        ulong* mask = stackalloc ulong[MaskWords];
        new Span<ulong>(mask, MaskWords).Clear();
        mask[node / 64] = 1ul << (node % 64);

        // The kernel reads one bit less than it is told.
        nint result = LibC.mbind(LibC.SYS_mbind, address, (nuint)length, LibC.MPOL_PREFERRED, mask,
            (MaskWords * 64) + 1, 0);
        return result == 0 ? null : LibCErrors.Describe($"mbind to node {node}", Marshal.GetLastPInvokeError());
    }

    private static bool HasSeveralNodes()
    {
        try
        {
            return File.ReadAllText($"{NodesFolder}/online").AsSpan().Trim().IndexOfAny(',', '-') >= 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // No sysfs: as good as one node.
            return false;
        }
    }
}
