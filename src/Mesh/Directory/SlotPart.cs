// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// What goes into one page of a stream, and the count and digest of the part of a slot that was added last. Filled
/// under the lock of that slot. Used by one call.
/// </summary>
internal sealed class SlotPart
{
    /// <summary>The rest of the frame is for sets, summaries and what the estimate lacks.</summary>
    private const int MostBytes = Wire.MaxFrame - (256 * 1024);

    private (int Records, int Bytes, int Count, ulong Digest) _mark;
    private int _bytes;
    private int _count;
    private ulong _digest;

    /// <summary>Records of all slots of the page.</summary>
    public List<KeyedRecord> Records { get; } = [];

    /// <summary>Whether no further slot is begun.</summary>
    public bool IsFull => _bytes >= Wire.BatchBytes || Records.Count >= Wire.MaxBatch;

    /// <summary>Whether more was added than a page may have.</summary>
    public bool IsOver => _bytes > MostBytes || Records.Count > Wire.MaxBatch;

    /// <summary>Begins with a slot.</summary>
    public void Begin()
    {
        _count = 0;
        _digest = 0;
        Mark();
    }

    /// <summary>What was added of the slot.</summary>
    public SlotSummary Summary(int slot) => new(slot, _count, _digest);

    /// <summary>Where <see cref="CutBack"/> goes back to.</summary>
    public void Mark() => _mark = (Records.Count, _bytes, _count, _digest);

    /// <summary>Adds a record; the digest is that of the table's own bytes, not of the copy.</summary>
    public void Add(RecordRef record, long cleared)
    {
        var copy = new KeyedRecord(new MeshKey(record.KeySpan.ToArray()), record.ToRecord() with { Cleared = cleared });
        Records.Add(copy);
        _bytes += copy.WireBytes;
        _count++;
        _digest += RecordDigest.Of(record);
    }

    /// <summary>Takes out what was added since the mark.</summary>
    public void CutBack()
    {
        Records.RemoveRange(_mark.Records, Records.Count - _mark.Records);
        (_, _bytes, _count, _digest) = _mark;
    }
}

/// <summary>The bits of a word in reverse order.</summary>
internal static class BitReversal
{
    public static ulong Of(ulong word)
    {
        word = ((word >> 1) & 0x5555_5555_5555_5555) | ((word & 0x5555_5555_5555_5555) << 1);
        word = ((word >> 2) & 0x3333_3333_3333_3333) | ((word & 0x3333_3333_3333_3333) << 2);
        word = ((word >> 4) & 0x0F0F_0F0F_0F0F_0F0F) | ((word & 0x0F0F_0F0F_0F0F_0F0F) << 4);
        return BinaryPrimitives.ReverseEndianness(word);
    }
}
