// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>Reads the bytes of small objects that lie in this node's own segments.</summary>
internal interface IInlineValues
{
    /// <summary>Which replicas are this node's.</summary>
    ulong Incarnation { get; }

    /// <summary>
    /// Writes the bytes of <paramref name="replica"/> as one byte string, if it still holds the
    /// object; writes nothing otherwise.
    /// </summary>
    bool TryWrite(in Replica replica, long size, ref MessagePackWriter writer);
}

/// <summary>
/// Answers which keys are there and where: from the table straight into the frame, without an allocation per key. Takes
/// one slot's lock at a time. Thread-safe.
/// </summary>
internal sealed class Locator(DirectoryTable table, OwnerService owner)
{
    /// <summary>After so many bytes of answer the rest is Unsure: the caller asks again for these.</summary>
    private const int MostAnswerBytes = Wire.MaxFrame - (64 * 1024) - Wire.MaxInline;

    /// <summary>What a record takes in a frame besides its own bytes, at most.</summary>
    private const int BlobHeader = 4;

    /// <summary>Values of this node; null: it holds none.</summary>
    public IInlineValues? Values { get; set; }

    /// <summary>Answers a caller in this process.</summary>
    public LocateAnswer Locate(Roles roles, in LocateRequest request)
    {
        var answer = new LocateAnswer(roles.View.Id, request.Keys.Length);
        for (int i = 0; i < request.Keys.Length; i++)
        {
            var key = request.Keys[i];
            int slot = table.SlotOf(key.Hash);
            lock (table.LockOf(slot))
            {
                // A caller in this process reads the memory itself: no value goes along.
                var code = Find(roles, slot, key.Hash, key.Bytes, request.Mark, out var record);
                bool whole = code == OwnerCode.Yes && !request.CodesOnly;
                answer.Set(i, code, whole ? record.ToRecord(roles.View.IsMember) : null);
                answer.IsFinal &= !request.Final || owner.Without(roles, slot) == OwnerCode.Absent;
            }
        }

        owner.Counters.Located(request.Keys.Length);
        return answer;
    }

    /// <summary>Answers a request as it came; see <see cref="IOwnerCalls"/>.</summary>
    [SkipLocalsInit]
    public void Answer(Roles roles, ref MessagePackReader reader, ReadOnlySpan<byte> frame,
        ref MessagePackWriter answer)
    {
        int fields = Wire.Enter(ref reader, 4);
        int count = Wire.ReadCount(ref reader, Wire.MaxBatch);
        Span<KeyPlace> keys = stackalloc KeyPlace[count];
        var run = new ByteRun(reader);
        for (int i = 0; i < count; i++)
        {
            if (!run.TryRead(MeshKey.MaxLength, out var key))
            {
                run.End(ref reader);
                int length = Wire.ReadView(ref reader, MeshKey.MaxLength).Length;
                run = new ByteRun(reader);
                key = frame.Slice(run.Position - length, length);
            }

            ulong hash = MeshKey.HashOf(key);
            keys[i] = new KeyPlace(hash, run.Position - key.Length, key.Length);
            table.Prefetch(table.SlotOf(hash));
        }

        run.End(ref reader);
        var wants = new Wants(reader.ReadBoolean(), reader.ReadBoolean(), reader.ReadInt32(),
            fields >= 5 && reader.ReadBoolean());
        Wire.Leave(ref reader, fields, Math.Min(fields, 5));
        foreach (var key in keys)
            table.PrefetchCell(table.SlotOf(key.Hash), key.Hash);
        foreach (var key in keys)
            table.PrefetchRecord(table.SlotOf(key.Hash), key.Hash);

        LocateAnswer.Begin(ref answer, roles.View.Id, count, wants.Final);
        int written = 0;
        bool final = true;
        int room = wants.Inline > 0 ? Wire.MaxInline : 0;
        foreach (var key in keys)
        {
            // Before the record is read: it may change in between, but then it has changed since this was asked.
            final &= !wants.Final || owner.Without(roles, table.SlotOf(key.Hash)) == OwnerCode.Absent;
            if (written < MostAnswerBytes)
                written += Answer(roles, key, frame.Slice(key.Start, key.Length), wants, ref room, ref answer);
            else
                answer.Write((int)OwnerCode.Unsure);
        }

        if (wants.Final)
            answer.Write(final);

        owner.Counters.Located(count);
    }

    /// <summary>Writes one key's answer; roughly its length in bytes.</summary>
    private int Answer(Roles roles, in KeyPlace place, ReadOnlySpan<byte> key, in Wants wants, ref int room,
        ref MessagePackWriter answer)
    {
        int slot = table.SlotOf(place.Hash);
        Replica own = default;
        long size;
        int length;
        lock (table.LockOf(slot))
        {
            var code = Find(roles, slot, place.Hash, key, wants.Mark, out var record);
            if (code != OwnerCode.Yes || wants.CodesOnly)
            {
                answer.Write((int)code);
                return 1;
            }

            size = record.Size;
            if (size <= wants.Inline && size <= room && Values is not null)
                own = record.ReplicaOf(Values.Incarnation);
            if (own.Incarnation != 0)
                answer.WriteArrayHeader(2);
            record.Write(ref answer, roles.View);
            length = RecordBlob.BytesOf(record.Replicas.Length) + BlobHeader;
        }

        if (own.Incarnation == 0)
            return length;

        // Not under the slot's lock: the holder has one of its own.
        if (Values!.TryWrite(own, size, ref answer))
        {
            room -= (int)size;
            return length + (int)size;
        }

        answer.WriteNil();
        return length;
    }

    /// <summary>Yes with the record, or what is said in its place; under the lock of the slot.</summary>
    private OwnerCode Find(Roles roles, int slot, ulong hash, ReadOnlySpan<byte> key, bool mark, out RecordRef record)
    {
        bool found = table.TryFind(slot, hash, key, out record) && !record.Removed;
        if (found && record.IsVisible(roles.View))
        {
            if (mark)
                record.Marked = true;
            return OwnerCode.Yes;
        }

        var code = owner.Without(roles, slot);
        // Its holders are no members: they have left, or they have come in a view that is not known here yet.
        return found && code == OwnerCode.Absent && IsAhead(record.Version, roles.View.Id) ? OwnerCode.Unsure : code;
    }

    private static bool IsAhead(in RecordVersion version, in ViewId view) =>
        version.Epoch != view.Epoch ? version.Epoch > view.Epoch : version.Revision > view.Revision;

    private readonly record struct KeyPlace(ulong Hash, int Start, int Length);

    private readonly record struct Wants(bool Mark, bool CodesOnly, int Inline, bool Final);
}
