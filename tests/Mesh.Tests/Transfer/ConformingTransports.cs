// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>A transport in the caller's own process.</summary>
public sealed class SelfConformance : TransportConformance
{
    private protected override ITransport Make(TransferWorld world) =>
        new SelfTransport(node => node.NodeId == world.Node.NodeId, world.Store, world.Node.Holder.Book,
            TimeProvider.System);
}

/// <summary>Bytes inside control frames.</summary>
public sealed class ControlConformance : TransportConformance
{
    private protected override ITransport Make(TransferWorld world) =>
        new ControlTransport(world.Calls(), 64 << 10, TimeProvider.System);
}

/// <summary>The data lane over tcp.</summary>
public sealed class TcpConformance : TransportConformance
{
    private protected override ITransport Make(TransferWorld world) => new TcpTransport(world.Dialer(sameHost: false));
}

/// <summary>The data lane over the Unix socket.</summary>
public sealed class TcpOverUnixConformance : TransportConformance
{
    private protected override ITransport Make(TransferWorld world) => new TcpTransport(world.Dialer(), connections: 4);
}

/// <summary>The data lane over tcp, by two rails.</summary>
public sealed class TcpOverRailsConformance : TransportConformance
{
    private protected override MeshNodeOptions Options(MeshNodeOptions options) =>
        options with { Rails = ["127.0.0.2", "127.0.0.3"] };

    private protected override ITransport Make(TransferWorld world) =>
        new TcpTransport(world.Dialer(sameHost: false), rails: ["127.0.0.4", "127.0.0.5"]);
}

/// <summary>Memory that both map.</summary>
public sealed class ShmConformance : TransportConformance
{
    private protected override bool KnowsLengths => false;

    private protected override ITransport Make(TransferWorld world) => new ShmTransport(world.Dialer());
}
