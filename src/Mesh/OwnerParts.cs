// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh;

/// <summary>What a node needs to be an owner; made once the mesh's number of slots is known.</summary>
internal sealed class OwnerParts : IDisposable
{
    public OwnerParts(string nodeId, int slots, PeerHealth health, MeshCalls calls, TimeSpan leaseTtl,
        MeshRuntime runtime)
    {
        Table = new DirectoryTable(slots);
        States = new SlotStates(nodeId, slots, runtime.Policies.Deny, calls.IsSelf);
        Succession = new Succession(calls, IsUnreachable, runtime);
        Owner = new OwnerService(Table, States, IsUnreachable, runtime.Time, runtime.Policies)
        {
            Succession = Succession,
        };
        Keeper = new SlotKeeper(nodeId, Table, States, Owner, calls, IsUnreachable, leaseTtl, runtime);
        Guard = new PauseGuard(Owner, States, Keeper.Wake, runtime.Time, leaseTtl,
            runtime.Log.CreateLogger("mesh.owner"));

        bool IsUnreachable(NodeRecord node) => node.NodeId != nodeId && health.ReachOf(node.NodeId) != Reach.Fine;
    }

    public DirectoryTable Table { get; }

    public SlotStates States { get; }

    public Succession Succession { get; }

    public OwnerService Owner { get; }

    public SlotKeeper Keeper { get; }

    public PauseGuard Guard { get; }

    /// <summary>A new view: first who is waited for, then what this node is in it.</summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        Succession.Adopt(previous, next);
        Keeper.Adopt(previous, next);
    }

    public void Dispose()
    {
        Succession.Stop();
        Keeper.Stop();
        Table.Dispose();
    }
}
