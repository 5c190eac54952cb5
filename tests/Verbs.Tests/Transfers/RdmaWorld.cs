// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>A node whose memory cards reach, and transports to it.</summary>
internal static class RdmaWorld
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    internal static Task<TransferWorld> StartAsync(LogLines log, TransportChoice choice = TransportChoice.Rdma) =>
        TransferWorld.StartAsync(64 << 20, options => options with { Transport = choice },
            runtime => Child.Runtime(log) with { Network = runtime.Network });

    /// <summary>
    /// A transport that has reached the node: in an emulated machine the first time takes longer than is waited for.
    /// </summary>
    internal static IVerbsTransport Open(TransferWorld world, RdmaOptions? options = null,
        DeviceQueues? devices = null)
    {
        var parts = new VerbsParts(world.Runtime, world.Links()) { Devices = devices };
        var transport = RdmaTransport.OpenAsync(options ?? new RdmaOptions(), parts).GetAwaiter().GetResult().Value;
        var held = world.Hold(new byte[4096]);
        using var destination = new GuardedMemory(4096);
        Assert.True(SpinWait.SpinUntil(() => transport.ReadAsync(world.ReadOf(held), destination.Range, Long,
            CancellationToken.None).GetAwaiter().GetResult() == TransferOutcome.Done, Long));
        world.Store.Discard(held);
        return transport;
    }
}
