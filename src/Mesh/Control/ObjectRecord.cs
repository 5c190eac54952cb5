// SPDX-License-Identifier: Apache-2.0

using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>Where one whole copy lies: holder, extent and the generation word that proves it.</summary>
/// <param name="Incarnation">The holder's incarnation; names the node and its memory at once.</param>
/// <param name="SegmentId">Number of the segment within the holder.</param>
/// <param name="Offset">Offset of the extent, in bytes.</param>
/// <param name="Generation">The extent's generation word while it holds this object.</param>
internal readonly record struct Replica(ulong Incarnation, int SegmentId, long Offset, ulong Generation)
{
    /// <summary>
    /// Set in <see cref="SegmentId"/> of a replica in several extents: the rest of it names the first one, and the
    /// holder is asked for the others.
    /// </summary>
    public const int Scattered = 1 << 20;

    /// <summary>Whether it is in several extents.</summary>
    public bool IsScattered => (SegmentId & Scattered) != 0;
}

/// <summary>What the owners know of a key: an object and its replicas, or a tombstone.</summary>
internal sealed record ObjectRecord : IWireMessage<ObjectRecord>
{
    /// <summary>The number the acting primary gave it.</summary>
    public RecordVersion Version { get; init; }

    /// <summary>The put attempt this object comes from; of a tombstone, the removed object's.</summary>
    public ulong ObjectId { get; init; }

    /// <summary>Size in bytes.</summary>
    public long Size { get; init; }

    /// <summary>The object's checksum, in two levels: over the sums of its slices.</summary>
    public ulong Checksum { get; init; }

    /// <summary>Whether this is a tombstone.</summary>
    public bool Removed { get; init; }

    /// <summary>
    /// How often everything had been removed when it was numbered: a record of an older removal than the reader knows
    /// is no record any more.
    /// </summary>
    public long Cleared { get; init; }

    /// <summary>The copies; none in a tombstone.</summary>
    public Replica[] Replicas { get; init; } = [];

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(9);
        Wire.Write(ref writer, Version);
        writer.Write(ObjectId);
        writer.Write(Size);
        writer.Write(Checksum);
        writer.Write(Removed);
        writer.WriteArrayHeader(Replicas.Length);
        foreach (var replica in Replicas)
            Write(ref writer, replica);
        writer.Write(Cleared);
    }

    public static ObjectRecord Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 8);
        var version = Wire.ReadVersion(ref reader);
        ulong objectId = reader.ReadUInt64();
        long size = reader.ReadInt64();
        ulong checksum = reader.ReadUInt64();
        bool removed = reader.ReadBoolean();
        var replicas = new Replica[Wire.ReadCount(ref reader, Wire.MaxReplicas)];
        for (int i = 0; i < replicas.Length; i++)
            replicas[i] = ReadReplica(ref reader);
        long cleared = count >= 9 ? reader.ReadInt64() : 0;
        Wire.Leave(ref reader, count, count >= 9 ? 9 : 8);
        return new ObjectRecord
        {
            Version = version,
            ObjectId = objectId,
            Size = size >= 0 ? size : throw new WireException($"size {size}"),
            Checksum = checksum,
            Removed = removed,
            Cleared = cleared,
            Replicas = replicas,
        };
    }

    public static void Write(ref MessagePackWriter writer, in Replica replica)
    {
        writer.WriteArrayHeader(4);
        writer.Write(replica.Incarnation);
        writer.Write(replica.SegmentId);
        writer.Write(replica.Offset);
        writer.Write(replica.Generation);
    }

    public static Replica ReadReplica(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var replica = new Replica(reader.ReadUInt64(), reader.ReadInt32(), reader.ReadInt64(), reader.ReadUInt64());
        Wire.Leave(ref reader, count, 4);
        return replica;
    }
}

/// <summary>A key with its record.</summary>
internal readonly record struct KeyedRecord(MeshKey Key, ObjectRecord Record)
{
    /// <summary>Roughly what it takes in a frame, in bytes.</summary>
    public int WireBytes => Key.Bytes.Length + 64 + (40 * Record.Replicas.Length);

    public static void WriteList(ref MessagePackWriter writer, IReadOnlyList<KeyedRecord> records)
    {
        writer.WriteArrayHeader(records.Count);
        foreach (var (key, record) in records)
        {
            writer.WriteArrayHeader(2);
            writer.Write(key.Bytes.AsSpan());
            record.Write(ref writer);
        }
    }

    public static KeyedRecord[] ReadList(ref MessagePackReader reader)
    {
        var records = new KeyedRecord[Wire.ReadCount(ref reader, Wire.MaxBatch)];
        for (int i = 0; i < records.Length; i++)
        {
            int count = Wire.Enter(ref reader, 2);
            records[i] = new KeyedRecord(Wire.ReadKey(ref reader), ObjectRecord.Read(ref reader));
            Wire.Leave(ref reader, count, 2);
        }

        return records;
    }
}
