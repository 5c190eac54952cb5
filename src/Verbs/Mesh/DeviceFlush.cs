// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// Has everybody see what cards have written into a device, before anybody is told that it is there. A device that
/// stands still is waited for by a thread that nobody else needs.
/// </summary>
internal readonly struct DeviceFlush(TimeProvider time, ILogger log)
{
    /// <summary>Flushes a device.</summary>
    /// <returns>Done; Late; Unreachable where it failed, so that the bytes come by another way.</returns>
    public async Task<TransferOutcome> RunAsync(DeviceBuffer device, TimeSpan timeout)
    {
        var flush = Task.Run(() => device.Memory.FlushWrites(device.Location));
        if (!await flush.EndsWithinAsync(timeout, time, CancellationToken.None))
            return TransferOutcome.Late;
        if (await flush is not { } error)
            return TransferOutcome.Done;
        log.LogWarning("device_not_flushed location={Location} reason={Reason}", device.Location, error.Message);
        device.Failed(error);
        return TransferOutcome.Unreachable;
    }
}
