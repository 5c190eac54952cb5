// SPDX-License-Identifier: Apache-2.0
using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;

namespace Mooncake.Mesh.Membership;

/// <summary>A view's name. Equal digests are equal views; a smaller (epoch, revision) is never adopted.</summary>
/// <param name="Epoch">The mesh's epoch.</param>
/// <param name="Revision">Revision of the last event under the mesh's prefix.</param>
/// <param name="Digest">XxHash3-64 over the canonical members.</param>
public readonly record struct ViewId(long Epoch, long Revision, ulong Digest) : IComparable<ViewId>
{
    /// <summary>
    /// The mesh whose view it is; 0: not said. The numbers of two meshes, as there may be after a wipe of the registry,
    /// say nothing of each other. No part of the name: the digest covers it.
    /// </summary>
    public ulong Mesh { get; init; }

    /// <inheritdoc/>
    public bool Equals(ViewId other) =>
        Epoch == other.Epoch && Revision == other.Revision && Digest == other.Digest;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Epoch, Revision, Digest);

    /// <inheritdoc/>
    public int CompareTo(ViewId other)
    {
        int order = Epoch.CompareTo(other.Epoch);
        return order != 0 ? order : Revision.CompareTo(other.Revision);
    }

    /// <summary>Whether the two are known to be of two meshes.</summary>
    public bool IsOfAnotherMesh(ViewId other) => Mesh != other.Mesh && Mesh != 0 && other.Mesh != 0;

    /// <summary>
    /// Whether the mesh of that view can have taken the place of this one's: it was written back under a greater epoch
    /// then.
    /// </summary>
    public bool MayBeReplacedBy(ViewId other) => !IsOfAnotherMesh(other) || other.Epoch > Epoch;

    /// <summary>Whether this view has the greater number.</summary>
    public bool IsNewerThan(ViewId other) => CompareTo(other) > 0;

    /// <summary>
    /// Whether this view is that one or follows on it: of two with one number neither does, nor of two meshes.
    /// </summary>
    public bool IsOrFollows(ViewId other) =>
        Digest == other.Digest || (IsNewerThan(other) && !IsOfAnotherMesh(other));

    /// <summary>Whether the two have one number and other members, so that neither follows on the other.</summary>
    public bool IsApartFrom(ViewId other) => CompareTo(other) == 0 && Digest != other.Digest;

    /// <inheritdoc/>
    public override string ToString() => $"{Epoch}.{Revision}.{Digest:x16}";
}

/// <summary>Immutable snapshot of membership and ring.</summary>
public sealed class MeshView
{
    private readonly Dictionary<string, NodeRecord> _byId;
    private readonly Dictionary<ulong, NodeRecord> _byIncarnation;
    private readonly Lazy<SlotTable> _slots;

    /// <summary>Makes the view of <paramref name="members"/> at (epoch of the config, revision).</summary>
    public MeshView(MeshConfig config, long revision, IEnumerable<NodeRecord> members)
        : this(config, revision, members, null, RingPast.Unknown)
    {
    }

    /// <summary>The same, sharing the slot table of <paramref name="previous"/> when the ring is the same.</summary>
    internal MeshView(MeshConfig config, long revision, IEnumerable<NodeRecord> members, MeshView? previous,
        RingPast past)
    {
        Config = config;
        Past = past;
        Members = [.. members.OrderBy(m => m.NodeId, StringComparer.Ordinal)];
        _byId = new Dictionary<string, NodeRecord>(StringComparer.Ordinal);
        _byIncarnation = [];
        foreach (var member in Members)
        {
            _byId.TryAdd(member.NodeId, member);
            _byIncarnation.TryAdd(member.Incarnation, member);
        }

        Id = new ViewId(config.Epoch, revision, DigestOf(config, Members)) { Mesh = config.MeshId };
        _slots = previous is not null && SameRing(previous)
            ? previous._slots
            : new Lazy<SlotTable>(() => SlotTable.Build(Members, config.Slots));
    }

    /// <summary>The view of nobody, older than every other.</summary>
    public static MeshView Empty { get; } = new(new MeshConfig { MeshId = 0, Epoch = 0 }, 0, []);

    /// <summary>The view's name.</summary>
    public ViewId Id { get; }

    /// <summary>What the mesh fixed at its making.</summary>
    public MeshConfig Config { get; }

    /// <summary>The members, ordered by node id (ordinal).</summary>
    public IReadOnlyList<NodeRecord> Members { get; }

    /// <summary>How its ring came about, as far as whoever made this view has seen.</summary>
    internal RingPast Past { get; }

    /// <summary>Who owns which slot; built on first use.</summary>
    public SlotTable Slots => _slots.Value;

    /// <summary>The member with this id, or null.</summary>
    public NodeRecord? Find(string nodeId) => _byId.GetValueOrDefault(nodeId);

    /// <summary>The member with this id and incarnation, or null.</summary>
    public NodeRecord? Find(string nodeId, ulong incarnation) =>
        _byId.TryGetValue(nodeId, out var node) && node.Incarnation == incarnation ? node : null;

    /// <summary>The member with this incarnation, or null.</summary>
    public NodeRecord? FindIncarnation(ulong incarnation) => _byIncarnation.GetValueOrDefault(incarnation);

    /// <summary>Whether a member has this incarnation.</summary>
    public bool IsMember(ulong incarnation) => _byIncarnation.ContainsKey(incarnation);

    /// <summary>The slot of a hashed key.</summary>
    public int SlotOf(ulong hash) => Slots.SlotOf(hash);

    /// <summary>The first and the last key hash of a slot.</summary>
    public (ulong First, ulong Last) HashesOf(int slot) => Slots.HashesOf(slot);

    /// <summary>The nodes of the preference list of <paramref name="slot"/>, primary first.</summary>
    public NodeRecord? Owner(int slot, int place)
    {
        int index = Slots.OwnerIndex(slot, place);
        return index < 0 ? null : Members[index];
    }

    /// <summary>Where <paramref name="nodeId"/> stands in the preference list of a slot, or -1.</summary>
    public int PlaceOf(int slot, string nodeId)
    {
        for (int place = 0; place < SlotTable.Places; place++)
        {
            int index = Slots.OwnerIndex(slot, place);
            if (index < 0)
                break;
            if (string.Equals(Members[index].NodeId, nodeId, StringComparison.Ordinal))
                return place;
        }

        return -1;
    }

    /// <summary>Whether every slot has the same preference list as in <paramref name="other"/>.</summary>
    internal bool HasSharesOf(MeshView other) => Config.Slots == other.Config.Slots
        && Members.Select(Share).Where(s => s.Weight > 0).SequenceEqual(
            other.Members.Select(Share).Where(s => s.Weight > 0));

    private static (string NodeId, int Weight) Share(NodeRecord node) => (node.NodeId, RingPast.WeightOf(node));

    /// <summary>Building a table costs a pass over all slots per member; a new session or label changes none.</summary>
    private bool SameRing(MeshView previous) =>
        Config.Slots == previous.Config.Slots && Members.Select(RingOf).SequenceEqual(previous.Members.Select(RingOf));

    private static (string NodeId, RingShare Ring) RingOf(NodeRecord node) => (node.NodeId, node.Ring);

    private static ulong DigestOf(MeshConfig config, IReadOnlyList<NodeRecord> members)
    {
        var hash = new XxHash3();
        Span<byte> number = stackalloc byte[8];
        Append(config.MeshId, number);
        Append((ulong)config.Slots, number);
        foreach (var member in members)
        {
            byte[] id = Encoding.UTF8.GetBytes(member.NodeId);
            Append((ulong)id.Length, number);
            hash.Append(id);
            Append(member.Incarnation, number);
            Append((ulong)member.Session, number);
            Append((ulong)member.Ring.Weight, number);
            Append((member.Ring.Leaving ? 1ul : 0) + (member.Ring.Starting ? 2ul : 0), number);
        }

        return hash.GetCurrentHashAsUInt64();

        void Append(ulong value, Span<byte> buffer)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(buffer, value);
            hash.Append(buffer);
        }
    }
}
