// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Exports.Arguments;

/// <summary>Streams of CUDA that C passes for calls whose copies are made by threads of ours.</summary>
internal static class Streams
{
    private const nint PerThread = 2;

    /// <summary>What a call comes after; NULL: nothing.</summary>
    public static DeviceOrder Order(nint stream) => stream == PerThread
        ? throw Given.Wrong("stream is 2 (CU_STREAM_PER_THREAD), which is another stream in each thread")
        : new DeviceOrder(stream);
}
