// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Staging;

/// <summary>
/// A transfer between a holder and memory of a device here, by a transport that knows host memory only: all bytes rest
/// in host memory on their way.
/// </summary>
internal readonly struct StagedTransfer(ITransport transport, DeviceQueues devices, TimeProvider time)
{
    /// <summary>Reads an extent, and moves it to the device once it has arrived whole.</summary>
    public async Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (read.Length < 0 || read.Length > destination.Length)
            return TransferOutcome.Stale;
        long start = time.GetTimestamp();
        using var scratch = new ScratchMemory();
        var host = scratch.Size(read.Length);
        if (!host.Succeeded)
            return TransferOutcome.Unreachable;
        var outcome = await transport.ReadAsync(read, host.Value, timeout, cancel);
        return outcome != TransferOutcome.Done || read.Length == 0
            ? outcome
            : await devices.RunAsync(new DeviceMove(host.Value, destination.Part(0, read.Length), null),
                time.LeftOf(timeout, start), cancel);
    }

    /// <summary>Moves the device's bytes here, and carries them to the holder.</summary>
    public async Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel)
    {
        long start = time.GetTimestamp();
        using var scratch = new ScratchMemory();
        var host = scratch.Size(source.Length);
        if (!host.Succeeded)
            return TransferOutcome.Unreachable;
        var moved = await devices.RunAsync(new DeviceMove(source, host.Value, null), timeout, cancel);
        return moved != TransferOutcome.Done
            ? moved
            : await transport.WriteAsync(write, host.Value, time.LeftOf(timeout, start), cancel);
    }
}
