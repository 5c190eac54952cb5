// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
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
    private protected override int Largest => 2 << 20;

    private protected override int Rounds => 20;

    private protected override MeshNodeOptions Options(MeshNodeOptions options) =>
        options with { Transport = TransportChoice.Rdma };

    private protected override MeshRuntime Runtime(MeshRuntime runtime) =>
        Child.Runtime(new LogLines()) with { Network = runtime.Network };

    private protected override ITransport Make(TransferWorld world) => RdmaWorld.Open(world);
}
