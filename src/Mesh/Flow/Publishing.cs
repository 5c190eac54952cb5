// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>A sealed object on its way to the owners (<see cref="PublishFlow"/>).</summary>
internal sealed class Publishing(HeldObject held, PutHead head, ulong incarnation)
{
    public HeldObject Held { get; } = held;

    public PutHead Head { get; } = head;

    public ulong Incarnation { get; } = incarnation;

    /// <summary>The id it is offered under.</summary>
    public ulong ObjectId { get; } = held.ObjectId;

    /// <summary>What it has taken the place of, whose holders are to be told; seldom more than one.</summary>
    public List<ObjectRecord> Replaced { get; } = [];

    public void Note(ObjectRecord replaced)
    {
        if (!Replaced.Exists(r => r.ObjectId == replaced.ObjectId))
            Replaced.Add(replaced);
    }

    /// <summary>The greatest version that an owner has of the key besides ours; none for a first put.</summary>
    public RecordVersion Above { get; private set; }

    /// <summary>The version it was accepted with last; none before.</summary>
    public RecordVersion Accepted { get; set; }

    /// <summary>The object of a greater version that an owner has, for a put that does not replace.</summary>
    public ObjectRecord? Winner { get; set; }

    public bool Dropped { get; set; }

    public bool MayBeOnRecord { get; set; }

    public void Raise(RecordVersion version) => Above = version > Above ? version : Above;

    /// <summary>Ends with <see cref="End"/>; both under one lock.</summary>
    public Task WhenEnded
    {
        get
        {
            _ended ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _ended.Task;
        }
    }

    private TaskCompletionSource? _ended;

    public void End() => _ended?.TrySetResult();

    /// <summary>What an owner is offered, by a node that knows of removals up to <paramref name="cleared"/>.</summary>
    public ObjectRecord Offer(long cleared, ulong incarnation) => new()
    {
        ObjectId = ObjectId,
        Size = Held.Size,
        Checksum = Held.Checksum,
        Cleared = cleared,
        Replicas = [HolderService.ReplicaOf(Held, incarnation)],
    };

    /// <summary>Whether a record names this very copy, of this object or of one that it joins.</summary>
    public bool IsNamedBy(ObjectRecord record) => Array.Exists(record.Replicas, replica =>
        replica.Incarnation == Incarnation && replica.Generation == Held.Extent.Generation);

    /// <summary>The answer of a put whose key another owner knows; null for one that replaces what is there.</summary>
    public PutAnswer? Known(ObjectRecord known)
    {
        if (!Head.Replace || known.ObjectId == ObjectId)
            return Kept(known);
        Raise(known.Version);
        Note(known);
        return null;
    }

    /// <summary>The answer of a put whose key has this record; null: it has another one.</summary>
    public PutAnswer Kept(ObjectRecord? record)
    {
        if (record is null)
            return new PutAnswer(PutFate.Existed, true, default, 0);
        int copies = record.Replicas.Length;
        // What has the key although this put replaces: it came after an earlier attempt of ours.
        if (record.ObjectId == ObjectId || Head.Replace)
        {
            bool ours = record.ObjectId == ObjectId && !record.Removed;
            return new PutAnswer(PutFate.Own, true, ours || Accepted.IsNone ? record.Version : Accepted, copies);
        }

        bool same = record.Size == Held.Size && record.Checksum == Held.Checksum && Held.Checksum != 0;
        return new PutAnswer(same && copies < Head.Wanted ? PutFate.Held : PutFate.Existed, true, record.Version,
            copies);
    }
}
