// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Directory;

/// <summary>The fixed part of a record; replicas and key follow.</summary>
internal struct RecordHead
{
    public const byte Marked = 1;
    public const byte Tombstone = 2;

    public ulong Hash;
    public long Epoch;
    public long Revision;
    public long Counter;
    public ulong ObjectId;
    public long Size;

    /// <summary>Of a tombstone: when it was written, in milliseconds of the node's clock.</summary>
    public ulong Checksum;
    public int KeyLength;
    public ushort Replicas;
    public byte Flags;

    /// <summary>What a record takes, in bytes: head, replicas, key.</summary>
    public static unsafe int BytesOf(int replicas, int keyLength) =>
        sizeof(RecordHead) + (replicas * sizeof(ReplicaCell)) + keyLength;
}

/// <summary>A replica as the table keeps it.</summary>
internal struct ReplicaCell(in Replica replica)
{
    public ulong Incarnation = replica.Incarnation;
    public long Offset = replica.Offset;
    public ulong Generation = replica.Generation;
    public int SegmentId = replica.SegmentId;

    public readonly Replica ToReplica() => new(Incarnation, SegmentId, Offset, Generation);
}
