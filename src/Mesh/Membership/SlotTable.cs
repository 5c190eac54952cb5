// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers.Binary;
using System.IO.Hashing;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// Which members own which slot: per slot a preference list of four, ordered by weighted rendezvous
/// -weight / ln(u), u = hash(nodeId, slot) / 2^64, computed in integers so that every node, whatever its C library and
/// processor, agrees to the bit. Immutable.
/// </summary>
public sealed class SlotTable
{
    /// <summary>Length of a preference list: primary, backup, two more.</summary>
    public const int Places = 4;

    /// <summary>All primaries, then all backups, and so on: nearly always the primaries alone are looked up.</summary>
    private readonly short[] _owners;
    private readonly int _shift;

    private SlotTable(short[] owners, int slots)
    {
        _owners = owners;
        Count = slots;
        _shift = 64 - int.Log2(slots);
    }

    /// <summary>Number of slots.</summary>
    public int Count { get; }

    /// <summary>Builds the table; a pure function of node ids, weights and leaving marks.</summary>
    /// <param name="members">Ordered by node id.</param>
    /// <param name="slots">A power of two.</param>
    public static SlotTable Build(IReadOnlyList<NodeRecord> members, int slots)
    {
        if (slots < 64 || slots > 1 << 20 || !int.IsPow2(slots))
            throw new ArgumentOutOfRangeException(nameof(slots), slots, "a power of two from 64 to 1048576");
        if (members.Count > short.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(members), members.Count, "at most 32767 members");
        var owners = new short[slots * Places];
        var contenders = new List<Contender>(members.Count);
        for (int m = 0; m < members.Count; m++)
        {
            var ring = members[m].Ring;
            if (!ring.Leaving && !ring.Starting && ring.Weight > 0)
                contenders.Add(new((short)m, (ulong)ring.Weight, SeedOf(members[m].NodeId)));
        }

        // Slot by slot: the scores of one slot, not of all, are kept.
        Span<Score> best = stackalloc Score[Places];
        Span<short> list = stackalloc short[Places];
        Span<byte> slotBytes = stackalloc byte[4];
        for (int slot = 0; slot < slots; slot++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(slotBytes, slot);
            list.Fill(-1);
            foreach (var contender in CollectionsMarshal.AsSpan(contenders))
            {
                ulong cost = FixedLog2.NegLog2(XxHash3.HashToUInt64(slotBytes, contender.Seed));
                Insert(list, best, contender.Member, new Score(contender.Weight, cost));
            }

            for (int place = 0; place < Places; place++)
                owners[(place * slots) + slot] = list[place];
        }

        return new SlotTable(owners, slots);
    }

    /// <summary>The slot of a hashed key: its top bits.</summary>
    public int SlotOf(ulong hash) => (int)(hash >> _shift);

    /// <summary>The first and the last hash of a slot.</summary>
    public (ulong First, ulong Last) HashesOf(int slot)
    {
        ulong first = (ulong)slot << _shift;
        return (first, first + ((1ul << _shift) - 1));
    }

    /// <summary>Index into the view's members of the owner at <paramref name="place"/>, or -1.</summary>
    public int OwnerIndex(int slot, int place) => _owners[(place * Count) + slot];

    /// <summary>Index of the primary of a hashed key, or -1 when nobody owns anything.</summary>
    public int PrimaryIndex(ulong hash) => _owners[(int)(hash >> _shift)];

    /// <summary>
    /// Has the processor fetch the primary of a hashed key: in a batch the waits for memory overlap.
    /// </summary>
    internal unsafe void Prefetch(ulong hash)
    {
        // An address that is old by then is only fetched, never used.
        if (Sse.IsSupported)
            Sse.Prefetch0(Unsafe.AsPointer(ref _owners[(int)(hash >> _shift)]));
    }

    private static long SeedOf(string nodeId) => (long)XxHash3.HashToUInt64(Encoding.UTF8.GetBytes(nodeId));

    private static void Insert(Span<short> list, Span<Score> best, short member, Score score)
    {
        int place = Places;
        // Members come in id order, so an equal score stays behind: ties go to the smaller node id.
        while (place > 0 && (list[place - 1] < 0 || score.Beats(best[place - 1])))
            place--;
        if (place == Places)
            return;
        for (int i = Places - 1; i > place; i--)
        {
            list[i] = list[i - 1];
            best[i] = best[i - 1];
        }

        list[place] = member;
        best[place] = score;
    }

    /// <summary>A member that may own slots, and what its hashes begin with.</summary>
    private readonly record struct Contender(short Member, ulong Weight, long Seed);

    /// <summary>weight / -log2(u): compared by cross-multiplication, never divided.</summary>
    private readonly record struct Score(ulong Weight, ulong Cost)
    {
        public bool Beats(Score other) => (UInt128)Weight * other.Cost > (UInt128)other.Weight * Cost;
    }
}

/// <summary>-log2(h / 2^64) in fixed point with 40 fraction bits, from integers alone.</summary>
internal static class FixedLog2
{
    private const int FractionBits = 40;
    private const int TableBits = 12;
    private static readonly ulong[] Table = MakeTable();

    public static ulong NegLog2(ulong h)
    {
        if (h == 0)
            h = 1;
        int zeros = (int)ulong.LeadingZeroCount(h);
        ulong mantissa = h << zeros;                          // 1.x with the leading one at bit 63
        ulong x = mantissa << 1;                              // the fraction bits alone
        int index = (int)(x >> (64 - TableBits));
        ulong rest = (x << TableBits) >> 32;                  // 32 bits between two table entries
        ulong low = Table[index];
        ulong fraction = low + (ulong)(((UInt128)(Table[index + 1] - low) * rest) >> 32);
        ulong log = ((ulong)(63 - zeros) << FractionBits) + fraction;
        return (64ul << FractionBits) - log;
    }

    /// <summary>log2(1 + i / 2^12) by repeated squaring of a 1.62 fixed-point number.</summary>
    private static ulong[] MakeTable()
    {
        int size = 1 << TableBits;
        var table = new ulong[size + 1];
        for (int i = 0; i < size; i++)
        {
            ulong value = (1ul << 62) + ((ulong)i << (62 - TableBits));
            ulong log = 0;
            for (int bit = 0; bit < FractionBits; bit++)
            {
                UInt128 square = (UInt128)value * value;      // 2.124
                log <<= 1;
                if (square >> 125 != 0)
                {
                    log |= 1;
                    value = (ulong)(square >> 63);
                }
                else
                {
                    value = (ulong)(square >> 62);
                }
            }

            table[i] = log;
        }

        table[size] = 1ul << FractionBits;
        return table;
    }
}
