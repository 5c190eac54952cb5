// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests.Segments;

public sealed class HashIndexTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1_000_000)]
    public void Agrees_with_a_dictionary(long expected)
    {
        var random = new Random(5);
        var index = new HashIndex(expected);
        var model = new Dictionary<string, HeldObject>();
        for (int step = 0; step < 20_000; step++)
        {
            string name = $"{random.Next(2_000)}";
            var held = new HeldObject(new MeshKey(name), 1, 0, default);
            model.TryGetValue(name, out HeldObject? present);
            Assert.Same(present, index.Find(held.Key));
            if (present is null)
            {
                index.Add(held);
                model.Add(name, held);
            }
            else if (random.Next(2) == 0)
            {
                index.Remove(present);
                model.Remove(name);
            }

            Assert.Equal(model.Count, index.Count);
        }

        var all = new List<HeldObject>();
        Assert.Equal(model.Count, index.List(0, ulong.MaxValue, int.MaxValue, all));
        Assert.Equal(model.Values.OrderBy(held => held.Key.Hash), all);
    }
}
