// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// A put of what may be in memory of a device. What travels in the request is brought to host memory first; of the
/// rest the transports see to it.
/// </summary>
internal sealed class DevicePut(FlowContext context, TransferPlan plan, HolderChoice choice)
{
    /// <summary>Puts.</summary>
    public Task<MeshResult<PutOutcome>> PutAsync(MeshKey key, NativeRange value, PutOptions options,
        CancellationToken cancel)
    {
        if (context.CallerMemory.HasDevices)
            value = context.CallerMemory.Find(value, options.Order);
        return value.Device is not null && value.Length <= Wire.MaxInlinePut
            ? PutSmallAsync(key, value, options, cancel)
            : PutOperation.RunAsync(context, plan, choice, key, value, options, cancel);
    }

    private async Task<MeshResult<PutOutcome>> PutSmallAsync(MeshKey key, NativeRange value, PutOptions options,
        CancellationToken cancel)
    {
        var deadline = new Deadline(context.Runtime.Time, options.Deadline ?? TransferPlan.DefaultLimit(value.Length));
        using var scratch = new ScratchMemory();
        var host = scratch.Size(value.Length);
        if (!host.Succeeded)
            return host.Error!;
        var moved = await context.Devices!.RunAsync(new DeviceMove(value, host.Value, null),
            deadline.AtMost(deadline.Left), cancel);
        if (moved == TransferOutcome.Done)
        {
            return await PutOperation.RunAsync(context, plan, choice, key, host.Value,
                options with { Deadline = deadline.AtMost(deadline.Left) }, cancel);
        }

        if (cancel.IsCancellationRequested)
            return new MeshError(MeshErrorCode.Cancelled, "put", "the caller cancelled");
        if (moved == TransferOutcome.Late)
            return deadline.Error("put:transfer");
        return value.Device!.Failure is { } failure
            ? failure with { Stage = "put" }
            : new MeshError(MeshErrorCode.Busy, "put", $"too many moves wait for {value.Device.Location}");
    }
}
