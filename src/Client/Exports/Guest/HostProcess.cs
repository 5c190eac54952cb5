// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>The process that used the library first. In a forked child none of its threads are left.</summary>
internal static class HostProcess
{
    private static readonly int First = LibC.getpid();

    /// <summary>Whether this is a forked child of it.</summary>
    public static bool IsForked => LibC.getpid() != First;

    /// <summary>What a forked child is told.</summary>
    public static string ForkedText => $"this process is a forked child of process {First}, which used the library "
        + "before; use it in one of them alone, or start the child anew (multiprocessing: spawn)";
}
