// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Segments.Interop;

/// <summary>The one place where an errno becomes a <see cref="MeshError"/>; the raw number is kept.</summary>
internal static class LibCErrors
{
    /// <summary>The failure the last call of <see cref="LibC"/> on this thread left behind.</summary>
    public static MeshError Last(string stage, string call) =>
        new(MeshErrorCode.System, stage, Describe(call, Marshal.GetLastPInvokeError()));

    /// <summary>"call: text of the errno (errno n)".</summary>
    public static string Describe(string call, int errno) =>
        $"{call}: {Marshal.GetPInvokeErrorMessage(errno)} (errno {errno})";
}
