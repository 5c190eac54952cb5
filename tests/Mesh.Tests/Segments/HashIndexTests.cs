// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests.Segments;

public sealed unsafe class HashIndexTests
{
    private readonly HeldCells _cells = new(new HeldGroups());

    [Theory]
    [InlineData(0)]
    [InlineData(1_000_000)]
    public void Agrees_with_a_dictionary(long expected)
    {
        var random = new Random(5);
        var index = new HashIndex(expected);
        var model = new Dictionary<string, nint>();
        for (int step = 0; step < 20_000; step++)
        {
            string name = $"{random.Next(2_000)}";
            model.TryGetValue(name, out nint present);
            Assert.Equal(present, (nint)index.Find(new MeshKey(name)));
            if (present == 0)
            {
                HeldCell* cell = Cell(new MeshKey(name), (ulong)step + 1);
                index.Add(cell);
                model.Add(name, (nint)cell);
            }
            else if (random.Next(2) == 0)
            {
                index.Remove((HeldCell*)present);
                _cells.Free((HeldCell*)present);
                model.Remove(name);
            }

            Assert.Equal(model.Count, index.Count);
        }

        var all = new List<nint>();
        Assert.Equal(model.Count, index.List(0, ulong.MaxValue, int.MaxValue, all));
        Assert.Equal(model.Values.OrderBy(cell => ((HeldCell*)cell)->Hash), all);
    }

    [Fact]
    public void Keys_of_one_hash_are_told_apart_and_listed_together()
    {
        var index = new HashIndex(1);
        MeshKey[] keys = [.. Enumerable.Range(0, 500).Select(i => new MeshKey(BitConverter.GetBytes(i), 7))];
        var cells = new nint[keys.Length];
        for (int i = 0; i < keys.Length; i++)
        {
            cells[i] = (nint)Cell(keys[i], (ulong)i + 1);
            index.Add((HeldCell*)cells[i]);
        }

        for (int i = 0; i < keys.Length; i++)
            Assert.Equal(cells[i], (nint)index.Find(keys[i]));
        var page = new List<nint>();
        Assert.Equal(keys.Length, index.List(0, ulong.MaxValue, 10, page));
        Assert.Equal(cells.Order(), page.Order());
        index.Remove((HeldCell*)cells[250]);
        Assert.Equal(0, (nint)index.Find(keys[250]));
        Assert.Equal(cells[251], (nint)index.Find(keys[251]));
    }

    private HeldCell* Cell(MeshKey key, ulong objectId) => _cells.Make(
        new Reservation(key, objectId, 1, [new Extent(0, 0, 1, objectId)], [default], default), 0);
}
