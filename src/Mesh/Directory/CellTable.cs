// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Directory;

/// <summary>
/// Where the cells of a slot are and how many, in one word: whoever looks without the lock gets both of one table.
/// A cell has the address of a record in its low 48 bits, the hash's low 16 bits above; 0: it is empty.
/// </summary>
internal readonly unsafe struct CellTable
{
    private const int AddressBits = 48;
    private const ulong AddressMask = (1ul << AddressBits) - 1;

    private readonly ulong _word;

    /// <param name="cells">The first of them.</param>
    /// <param name="capacity">How many: a power of two.</param>
    public CellTable(ulong* cells, int capacity) =>
        _word = ((ulong)(int.Log2(capacity) + 1) << AddressBits) | (ulong)cells;

    /// <summary>The first cell; null: there is none.</summary>
    public ulong* Cells => (ulong*)(_word & AddressMask);

    /// <summary>How many there are, a power of two, or 0.</summary>
    public int Capacity => (int)((1ul << (int)(_word >> AddressBits)) >> 1);

    /// <summary>Where a record is looked for first: the low bits, as the top ones are alike in a whole slot.</summary>
    public int HomeOf(ulong hash) => (int)(hash & (ulong)(Capacity - 1));

    /// <summary>The cell of a record.</summary>
    public static ulong CellOf(ulong hash, RecordHead* record) => (hash << AddressBits) | (ulong)record;

    /// <summary>The record of a cell that is not empty.</summary>
    public static RecordHead* RecordIn(ulong cell) => (RecordHead*)(cell & AddressMask);

    /// <summary>Whether a cell may have a record of this hash: one look in 65,536 is in vain.</summary>
    public static bool MayBeOf(ulong cell, ulong hash) => (cell ^ (hash << AddressBits)) <= AddressMask;
}
