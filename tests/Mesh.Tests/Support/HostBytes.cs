// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests;

/// <summary>Bytes of a segment that a test knows to be in host memory.</summary>
internal static unsafe class HostBytes
{
    public static byte* Of(in SegmentBytes bytes) =>
        bytes.TryHost(out byte* host) ? host : throw new InvalidOperationException("a device has these bytes");
}
