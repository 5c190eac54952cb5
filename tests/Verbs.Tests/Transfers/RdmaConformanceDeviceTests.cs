// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Mesh;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>The cards keep to what every transport keeps to.</summary>
[Collection(RealDevices.Name)]
public sealed class RdmaConformanceDeviceTests : TransportConformance
{
    public RdmaConformanceDeviceTests() => RealDevices.SkipUnlessOurs();

    /// <summary>A card reads what its key allows: all of a segment.</summary>
    private protected override bool KnowsLengths => false;

    private protected override bool HolderSums => false;

    /// <summary>Soft-RoCE in an emulated machine moves some 20 MB/s.</summary>
    private protected override int Largest => 4 << 20;

    private protected override int Rounds => 40;

    private protected override MeshNodeOptions Options(MeshNodeOptions options) =>
        options with { Transport = TransportChoice.Rdma };

    private protected override MeshRuntime Runtime(MeshRuntime runtime) =>
        runtime with { Verbs = parts => RdmaTransport.OpenAsync(new RdmaOptions(), parts) };

    private protected override ITransport Make(TransferWorld world) =>
        RdmaTransport.OpenAsync(new RdmaOptions(), new VerbsParts(world.Runtime, world.Links()))
            .GetAwaiter().GetResult().Value;
}
