// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.IO.Hashing;
using System.Runtime.InteropServices;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>A record in place; valid while the lock of its slot is held and the record is not written.</summary>
internal readonly unsafe ref struct RecordRef(RecordHead* head)
{
    private readonly RecordHead* _head = head;

    public RecordVersion Version => new(_head->Epoch, _head->Revision, _head->Counter);

    public ulong ObjectId => _head->ObjectId;

    public ulong Checksum => _head->Checksum;

    public bool Removed => (_head->Flags & RecordHead.Tombstone) != 0;

    public ReadOnlySpan<ReplicaCell> Replicas => new(_head + 1, _head->Replicas);

    public ReadOnlySpan<byte> KeySpan =>
        new((byte*)(_head + 1) + (_head->Replicas * sizeof(ReplicaCell)), _head->KeyLength);

    /// <summary>The heat mark: located since its holder last proposed to evict it.</summary>
    public bool Marked
    {
        get => (_head->Flags & RecordHead.Marked) != 0;
        set => _head->Flags = (byte)(value ? _head->Flags | RecordHead.Marked : _head->Flags & ~RecordHead.Marked);
    }

    /// <summary>Size in bytes.</summary>
    public long Size => _head->Size;

    /// <summary>The replica of a holder; one of incarnation 0 when it has none.</summary>
    public Replica ReplicaOf(ulong incarnation)
    {
        foreach (ref readonly var cell in Replicas)
        {
            if (cell.Incarnation == incarnation)
                return cell.ToReplica();
        }

        return default;
    }

    /// <summary>Whether a holder of a replica is a member.</summary>
    public bool IsVisible(MeshView view)
    {
        foreach (ref readonly var cell in Replicas)
        {
            if (view.IsMember(cell.Incarnation))
                return true;
        }

        return false;
    }

    /// <summary>Writes it as a <see cref="RecordBlob"/>, with the replicas whose holder is a member.</summary>
    public void Write(ref MessagePackWriter writer, MeshView view)
    {
        // One bit a replica: 64 is the most there are.
        ulong visible = 0;
        var cells = Replicas;
        for (int i = 0; i < cells.Length; i++)
            visible |= view.IsMember(cells[i].Incarnation) ? 1ul << i : 0;
        var rest = RecordBlob.Begin(ref writer, Version, ObjectId, Size, Checksum, Removed,
            System.Numerics.BitOperations.PopCount(visible));
        for (int i = 0; i < cells.Length; i++)
        {
            if ((visible & (1ul << i)) != 0)
                rest = RecordBlob.WriteReplica(rest, cells[i].ToReplica());
        }
    }

    /// <summary>A managed copy with every replica.</summary>
    public ObjectRecord ToRecord() => ToRecord(null);

    /// <summary>A managed copy with the replicas whose holder <paramref name="visible"/> accepts (null: all).</summary>
    public ObjectRecord ToRecord(Func<ulong, bool>? visible)
    {
        var cells = Replicas;
        int count = 0;
        foreach (ref readonly var cell in cells)
            count += visible is null || visible(cell.Incarnation) ? 1 : 0;
        var replicas = count == 0 ? [] : new Replica[count];
        int at = 0;
        foreach (ref readonly var cell in cells)
        {
            if (visible is null || visible(cell.Incarnation))
                replicas[at++] = cell.ToReplica();
        }

        return new ObjectRecord
        {
            Version = Version,
            ObjectId = ObjectId,
            Size = _head->Size,
            Checksum = Checksum,
            Removed = Removed,
            Replicas = replicas,
        };
    }
}

/// <summary>A question asked of a record in place.</summary>
internal delegate bool RecordTest(RecordRef record);

/// <summary>
/// The hash of one record in a slot's digest: over key, version and, per replica, holder and generation; independent
/// of the order of replicas.
/// </summary>
internal static class RecordDigest
{
    public static ulong Of(RecordRef record)
    {
        var version = record.Version;
        ulong seed = Seed(record.KeySpan, version, record.ObjectId, record.Removed);
        ulong sum = seed;
        foreach (ref readonly var cell in record.Replicas)
            sum += OfReplica(seed, cell.Incarnation, cell.Generation);
        return sum;
    }

    /// <summary>Of a record as if it had but one copy, that of one holder.</summary>
    public static ulong OfCopy(RecordRef record, in Replica copy)
    {
        ulong seed = Seed(record.KeySpan, record.Version, record.ObjectId, record.Removed);
        return seed + OfReplica(seed, copy.Incarnation, copy.Generation);
    }

    public static ulong Of(in MeshKey key, ObjectRecord record)
    {
        ulong seed = Seed(key.Bytes, record.Version, record.ObjectId, record.Removed);
        ulong sum = seed;
        foreach (var replica in record.Replicas)
            sum += OfReplica(seed, replica.Incarnation, replica.Generation);
        return sum;
    }

    private static ulong Seed(ReadOnlySpan<byte> key, RecordVersion version, ulong objectId, bool removed)
    {
        ReadOnlySpan<long> fields =
            [version.Epoch, version.Revision, version.Counter, (long)objectId, removed ? 1 : 0];
        ulong seed = XxHash3.HashToUInt64(MemoryMarshal.AsBytes(fields));
        return XxHash3.HashToUInt64(key, (long)seed);
    }

    private static ulong OfReplica(ulong seed, ulong incarnation, ulong generation)
    {
        ReadOnlySpan<ulong> fields = [incarnation, generation];
        return XxHash3.HashToUInt64(MemoryMarshal.AsBytes(fields), (long)seed);
    }
}
