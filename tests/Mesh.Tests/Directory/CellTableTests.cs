// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;

namespace Mooncake.Mesh.Tests.Directory;

public sealed class CellTableTests
{
    [Fact]
    public unsafe void Without_cells_it_has_none()
    {
        var table = default(CellTable);
        Assert.Equal(0, table.Capacity);
        Assert.True(table.Cells is null);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(128)]
    [InlineData(1 << 30)]
    public unsafe void Address_and_number_come_out_as_they_went_in(int capacity)
    {
        // The highest address a process is given, as on x86-64 and arm64 without asking for more.
        foreach (ulong address in (ulong[])[8, 0x7FFF_FFFF_FFF8, 0xFFFF_FFFF_FFF8])
        {
            var table = new CellTable((ulong*)address, capacity);
            Assert.Equal(address, (ulong)table.Cells);
            Assert.Equal(capacity, table.Capacity);
            Assert.Equal((int)(0xABCD_EF12_3456_789A & (ulong)(capacity - 1)), table.HomeOf(0xABCD_EF12_3456_789A));
        }
    }

    [Fact]
    public unsafe void A_cell_has_its_record_and_may_be_of_hashes_that_end_alike()
    {
        var record = (RecordHead*)0x7FFF_1234_5670;
        ulong cell = CellTable.CellOf(0x1111_2222_3333_ABCD, record);
        Assert.True(CellTable.RecordIn(cell) == record);
        Assert.True(CellTable.MayBeOf(cell, 0x1111_2222_3333_ABCD));
        Assert.True(CellTable.MayBeOf(cell, 0xFFFF_0000_0000_ABCD));
        Assert.False(CellTable.MayBeOf(cell, 0x1111_2222_3333_ABCE));
        Assert.False(CellTable.MayBeOf(cell, 0x1111_2222_3333_2BCD));
    }

    [Theory]
    // Slots that become so large that their cells come from the C library, and slots that stay small.
    [InlineData(64)]
    [InlineData(4096)]
    public async Task Records_are_fetched_ahead_while_slots_grow_and_are_dropped(int slots)
    {
        using var table = new DirectoryTable(slots);
        MeshKey[] keys = [.. Enumerable.Range(0, 40_000).Select(i => new MeshKey($"key-{i}"))];
        var record = new ObjectRecord { ObjectId = 1, Size = 1, Replicas = [] };
        int done = 0;
        var cancel = TestContext.Current.CancellationToken;
        var reader = Task.Run(() =>
        {
            do
            {
                foreach (var key in keys)
                {
                    int slot = table.SlotOf(key.Hash);
                    table.Prefetch(slot);
                    table.PrefetchCell(slot, key.Hash);
                    table.PrefetchRecord(slot, key.Hash);
                }
            }
            while (Volatile.Read(ref done) == 0);
        }, cancel);
        for (int turn = 0; turn < 3; turn++)
        {
            foreach (var key in keys)
            {
                int slot = table.SlotOf(key.Hash);
                lock (table.LockOf(slot))
                    table.Set(slot, key, record);
            }

            Assert.Equal(keys.Length, table.Count);
            for (int slot = 0; slot < slots; slot++)
            {
                lock (table.LockOf(slot))
                    table.Clear(slot);
            }
        }

        Volatile.Write(ref done, 1);
        await reader;
        Assert.Equal(0, table.Count);
    }
}
