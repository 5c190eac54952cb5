// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Directory;

/// <summary>One owner in a view of three nodes, without a network.</summary>
internal sealed class OwnerWorld : IDisposable
{
    public const int Slots = 64;

    public OwnerWorld(string self = "n1")
    {
        Self = self;
        Table = new DirectoryTable(Slots);
        States = new SlotStates(self, Slots);
        Owner = new OwnerService(Table, States, n => Unreachable.Contains(n.NodeId), Time)
        {
            OnLoser = (key, record) => Losers.Add(new KeyedRecord(key, record)),
            OnDebt = (node, slot) => Debts.Add((node, slot)),
        };
        Adopt(ViewOf(10, "n1", "n2", "n3"));
        for (int slot = 0; slot < Slots; slot++)
            States.SetComplete(slot, States.PlaceOf(slot), States.Stamp);
    }

    public string Self { get; }

    public ManualTimeProvider Time { get; } = new();

    public DirectoryTable Table { get; }

    public SlotStates States { get; }

    public OwnerService Owner { get; }

    public HashSet<string> Unreachable { get; } = [];

    public List<KeyedRecord> Losers { get; } = [];

    public List<(string NodeId, int Slot)> Debts { get; } = [];

    public MeshView View => States.Current.View;

    public static ulong IncarnationOf(string nodeId) => (ulong)nodeId[1];

    /// <summary>A view of these nodes; <paramref name="past"/>: how its ring came about, null: unknown.</summary>
    public static MeshView ViewOf(long revision, string[] nodes, RingPast? past = null) =>
        new(new MeshConfig { MeshId = 1, Slots = Slots }, revision,
            nodes.Select(n => new NodeRecord { NodeId = n, Incarnation = IncarnationOf(n) }), null,
            past ?? RingPast.Unknown);

    /// <summary>A view that follows from the one before by what has changed.</summary>
    public static MeshView ViewOf(long revision, params string[] nodes) =>
        ViewOf(revision, nodes, new RingPast(revision, 0, []));

    public static ObjectRecord Offer(ulong objectId, string holder = "n1") => new()
    {
        ObjectId = objectId,
        Size = 100,
        Checksum = objectId * 3,
        Replicas = [new Replica(IncarnationOf(holder), 0, 4096, 2)],
    };

    public void Adopt(MeshView view) => States.Adopt(View, view);

    /// <summary>A key in whose preference list this node has the given place.</summary>
    public MeshKey KeyAt(int place, int skip = 0)
    {
        for (int i = 0; ; i++)
        {
            var key = new MeshKey($"key-{i}");
            if (States.PlaceOf(SlotOf(key)) == place && skip-- == 0)
                return key;
        }
    }

    public int SlotOf(MeshKey key) => Table.SlotOf(key.Hash);

    public OwnerAnswer Publish(MeshKey key, ObjectRecord offer, int wanted = 1, bool insist = false) =>
        Assert.Single(Owner.Publish(new PublishRequest(key, offer, wanted, insist)).Items);

    public OwnerAnswer[] Replace(MeshKey key, ObjectRecord offer, RecordVersion above = default,
        RecordVersion accepted = default) =>
        Owner.Publish(new PublishRequest(key, offer, 1, false, true, above, accepted)).Items;

    public OwnerAnswer Mirror(MeshKey key, ObjectRecord record) =>
        Assert.Single(Owner.Mirror(new MirrorRequest([new KeyedRecord(key, record)])).Items);

    public OwnerAnswer Locate(MeshKey key, bool mark = false)
    {
        var answer = Owner.Locate(new LocateRequest([key], mark));
        Assert.Equal(1, answer.Count);
        return new OwnerAnswer(answer.CodeOf(0), answer.RecordOf(0));
    }

    /// <summary>The same question as a peer asks it: through the bytes of a request and of its answer.</summary>
    public LocateAnswer LocateOverTheWire(LocateRequest request)
    {
        var asked = new System.Buffers.ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(asked);
        request.Write(ref writer);
        writer.Flush();
        var answered = new System.Buffers.ArrayBufferWriter<byte>();
        var answer = new MessagePackWriter(answered);
        var reader = new MessagePackReader(asked.WrittenMemory);
        Owner.Locate(ref reader, asked.WrittenSpan, ref answer);
        Assert.True(reader.End);
        answer.Flush();
        var back = new MessagePackReader(answered.WrittenMemory);
        return LocateAnswer.Read(ref back);
    }

    public OwnerCode Retract(MeshKey key, ulong objectId, string holder = "n1", bool done = false) =>
        Assert.Single(Owner.Retract(new RetractRequest(IncarnationOf(holder), [new RetractItem(key, objectId)], done))
            .Items).Code;

    public OwnerAnswer Remove(MeshKey key, RecordVersion seen = default) =>
        Assert.Single(Owner.Remove(key, seen, out _).Items);

    public void Dispose() => Table.Dispose();
}
