// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>A copy of an object that a caller should be able to read.</summary>
internal sealed record HeldCopy(SimulatedNode Holder, OpenClient Caller, MeshKey Key, ulong ObjectId, ulong Value,
    long At);

/// <summary>
/// Sees all nodes at once, as no node can: who holds what, what each extent's bytes are, how full the stores are, and
/// what the directories say.
/// </summary>
internal sealed class MeshObserver(SimulatedMesh mesh)
{
    /// <summary>
    /// How long a holder and the way to it must have been well: a caller may take a node for dead for 2 s (rule A10),
    /// and finds it again with the next call after that.
    /// </summary>
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(4);

    private readonly List<HeldObject> _page = [];

    /// <summary>Since when two nodes have been in each other's view, in the sessions of now.</summary>
    private readonly Dictionary<(long, long), long> _together = [];

    /// <summary>The copies of a key that a caller has a way to.</summary>
    public IReadOnlyList<HeldCopy> HoldersOf(string name, OpenClient caller)
    {
        List<HeldCopy>? copies = null;
        var key = new MeshKey(name);
        foreach (var node in mesh.Nodes)
        {
            if (node.Store is { } store && IsWell(node, caller) && store.TryFind(key, out var held))
            {
                (copies ??= []).Add(new HeldCopy(node, caller, key, held.ObjectId, ValueOf(store, held),
                    mesh.World.Clock.Now));
            }
        }

        return copies ?? (IReadOnlyList<HeldCopy>)[];
    }

    /// <summary>
    /// The value of a copy that has been there, with a way to it, all the time; 0: there is none. One that its holder
    /// is about to evict counts no more: its owner gives it up before the holder hears of it.
    /// </summary>
    public ulong StillHeld(IReadOnlyList<HeldCopy> copies)
    {
        foreach (var copy in copies)
        {
            if (copy.Holder.Store is { } store && IsWell(copy.Holder, copy.Caller)
                && store.TryFind(copy.Key, out var held)
                && held.ObjectId == copy.ObjectId && !store.IsProposed(held) && !IsOvertaken(copy, held.Version))
                return copy.Value;
        }

        return 0;
    }

    /// <summary>Which of these copies' value a removal that is done has removed; 0: it is not known.</summary>
    public ulong Removed(string name, IReadOnlyList<HeldCopy> copies)
    {
        var key = new MeshKey(name);
        foreach (var node in mesh.Nodes)
        {
            if (node.Store is null || node.Node!.Owner is not { } owner)
                continue;
            int slot = owner.Table.SlotOf(key.Hash);
            if (!owner.Table.TryFind(slot, key, out var record) || !record.Removed)
                continue;
            foreach (var copy in copies)
            {
                if (copy.ObjectId == record.ObjectId)
                    return copy.Value;
            }
        }

        return 0;
    }

    /// <summary>The greatest version that an owner or a holder has for a value; none: nobody has it.</summary>
    public RecordVersion VersionOf(string name, ulong value)
    {
        var key = new MeshKey(name);
        ulong objectId = 0;
        var version = default(RecordVersion);
        foreach (var node in mesh.Nodes)
        {
            if (node.Store is { } store && store.TryFind(key, out var held) && ValueOf(store, held) == value)
                (objectId, version) = (held.ObjectId, held.Version > version ? held.Version : version);
        }

        foreach (var node in mesh.Nodes)
        {
            if (objectId == 0 || node.Store is null || node.Node!.Owner is not { } owner)
                continue;
            int slot = owner.Table.SlotOf(key.Hash);
            if (owner.Table.TryFind(slot, key, out var record) && record is { Removed: false }
                && record.ObjectId == objectId && record.Version > version)
                version = record.Version;
        }

        return version;
    }

    /// <summary>Notes which slots more than one node decides for, though these have long reached each other.</summary>
    public void SampleOwners()
    {
        SimulatedNode[] up =
            [.. mesh.Nodes.Where(n => n is { IsUp: true, Process.IsStopped: false, Node.Owner: not null })];
        foreach (var first in up)
        {
            foreach (var second in up)
            {
                if (first.Process.Machine < second.Process.Machine && HaveLongBeenTogether(first, second)
                    && ReachEachOther(first.Process, second.Process))
                    NoteBoth(first, second);
            }
        }
    }

    /// <summary>Whether an owner knows of something else under the key, numbered later than a copy.</summary>
    private bool IsOvertaken(HeldCopy copy, RecordVersion version)
    {
        foreach (var node in mesh.Nodes)
        {
            if (node.Store is null || node.Node!.Owner is not { } owner)
                continue;
            int slot = owner.Table.SlotOf(copy.Key.Hash);
            if (owner.Table.TryFind(slot, copy.Key, out var record) && record.ObjectId != copy.ObjectId
                && record.Version >= version)
                return true;
        }

        return false;
    }

    /// <summary>Notes how full each store is, and which bytes are under which word.</summary>
    public void Sample()
    {
        foreach (var node in mesh.Nodes)
        {
            if (node.Store is not { } store)
                continue;
            var usage = store.Usage;
            mesh.History.Add(new UsageSample(mesh.World.Clock.Microseconds, node.NodeId, usage.Live, usage.Filling,
                usage.Zombie, usage.Capacity - usage.Free));
            foreach (var held in HeldBy(store))
            {
                var segment = store.Segments[held.Extent.SegmentId];
                mesh.History.Add(new ExtentSample(mesh.World.Clock.Microseconds, node.Incarnation, held.ObjectId,
                    held.Extent.SegmentId, held.Extent.Offset, segment.Generations.Read(held.Extent.Offset),
                    ValueOf(store, held)));
            }
        }
    }

    /// <summary>What each node that is up knows and holds.</summary>
    public IReadOnlyList<NodeState> States() =>
        [.. mesh.Nodes.Where(n => n.IsUp).Select(StateOf)];

    /// <summary>Every object that a store shows.</summary>
    public IReadOnlyList<HeldObject> HeldBy(ObjectStore store)
    {
        _page.Clear();
        store.ListRange(0, ulong.MaxValue, int.MaxValue, _page);
        return _page;
    }

    private NodeState StateOf(SimulatedNode node)
    {
        var records = new List<KnownRecord>();
        var owner = node.Node!.Owner!;
        var view = node.Node.View;
        var found = new List<Control.KeyedRecord>();
        for (int slot = 0; slot < owner.Table.Slots; slot++)
        {
            byte place = owner.States.PlaceOf(slot);
            if (place > 1)
                continue;
            found.Clear();
            lock (owner.Table.LockOf(slot))
                owner.Table.CopySlot(slot, found);
            foreach (var (key, record) in found)
            {
                records.Add(new KnownRecord(key.ToString(), record.Version, record.ObjectId, record.Removed,
                    [.. record.Replicas.Select(r => r.Incarnation).Where(view.IsMember).Order()]));
            }
        }

        var held = HeldBy(node.Store!).Select(h => new KnownHeld(h.Key.ToString(), h.ObjectId));
        return new NodeState(node.NodeId, node.Incarnation, view.Id.ToString(), node.Node.NotReadyReason,
            [.. records], [.. held]);
    }

    private void NoteBoth(SimulatedNode first, SimulatedNode second)
    {
        var (one, other) = (first.Node!.Owner!, second.Node!.Owner!);
        if (one.States.Current.View.Id != other.States.Current.View.Id)
            return;
        for (int slot = 0; slot < one.States.Slots; slot++)
        {
            if (Decides(one, slot) && Decides(other, slot))
                mesh.History.Add(new RivalOwners(mesh.World.Clock.Microseconds, slot, first.NodeId, second.NodeId));
        }
    }

    private static bool Decides(OwnerParts owner, int slot) => owner.Owner.Confident && owner.Owner.IsActing(slot);

    /// <summary>
    /// Whether both have known each other for so long as it may take to find one that comes back. A new session makes
    /// the connections anew.
    /// </summary>
    private bool HaveLongBeenTogether(SimulatedNode first, SimulatedNode second)
    {
        MeshView one = first.Node!.View, other = second.Node!.View;
        if (one.Find(first.NodeId, first.Incarnation) is not { } here
            || one.Find(second.NodeId, second.Incarnation) is not { } there
            || other.Find(first.NodeId)?.Session != here.Session
            || other.Find(second.NodeId)?.Session != there.Session)
            return false;
        _together.TryAdd((here.Session, there.Session), mesh.World.Clock.Now);
        return mesh.World.Clock.Now - _together[(here.Session, there.Session)] >= Recovery.Ticks;
    }

    private bool ReachEachOther(SimulatedProcess one, SimulatedProcess other)
    {
        long since = mesh.World.Clock.Now - Recovery.Ticks;
        return one.RunningSince <= since && other.RunningSince <= since
            && IsWell(mesh.World.Network, one.Machine, other.Machine, since)
            && IsWell(mesh.World.Network, other.Machine, one.Machine, since);
    }

    private bool IsWell(SimulatedNode node, OpenClient open)
    {
        var caller = open.Process;
        long since = mesh.World.Clock.Now - Recovery.Ticks;
        if (!node.IsUp || node.Process.IsStopped || caller.IsDead || caller.IsStopped
            || node.Process.RunningSince > since || caller.RunningSince > since || !IsMember(node)
            || !open.Operations.Context.View.IsMember(node.Incarnation))
            return false;
        var network = mesh.World.Network;
        return IsWell(network, caller.Machine, node.Process.Machine, since)
            && IsWell(network, node.Process.Machine, caller.Machine, since);
    }

    /// <summary>Whether nobody takes the node for gone.</summary>
    private bool IsMember(SimulatedNode node)
    {
        foreach (var other in mesh.Nodes)
        {
            if (other is { Node: { } known, Process.IsDead: false } && !known.View.IsMember(node.Incarnation))
                return false;
        }

        return true;
    }

    private static bool IsWell(SimulatedNetwork network, int from, int to, long since) => from == to
        || (network.IsOpen(from, to) && network.ChangedAt.GetValueOrDefault((from, to), long.MinValue) <= since);

    private static unsafe ulong ValueOf(ObjectStore store, HeldObject held)
    {
        if (held.IsScattered)
            return 0;
        byte* bytes = store.Segments[held.Extent.SegmentId].Memory.Host!.Pointer + held.Extent.Offset;
        return Stamped.Read(new ReadOnlySpan<byte>(bytes, (int)held.Size));
    }
}
