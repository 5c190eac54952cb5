// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>Turns the descriptors that verbs hand out, which block, into ones that a poll loop can drain.</summary>
internal static class NonBlocking
{
    /// <exception cref="VerbsException">The descriptor is none.</exception>
    internal static void Set(int descriptor)
    {
        int flags = LibC.fcntl(descriptor, LibC.F_GETFL, 0);
        if (flags < 0 || LibC.fcntl(descriptor, LibC.F_SETFL, flags | LibC.O_NONBLOCK) < 0)
            throw new VerbsException(Marshal.GetLastPInvokeError(), "fcntl");
    }
}
