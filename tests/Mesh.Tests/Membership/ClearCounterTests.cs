// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Segments;

namespace Mooncake.Mesh.Tests.Membership;

/// <summary>The registry's counter of removals of everything.</summary>
public sealed class ClearCounterTests
{
    private static readonly MeshRuntime Runtime = TestStores.Runtime;

    [Fact]
    public async Task Each_raise_is_one_more_than_any_before_it()
    {
        var store = new EmbeddedRegistryStore(TimeProvider.System, RandomSource.FromSeed(1));
        await using var registry = new EmbeddedRegistry(store, Runtime);
        var cancel = TestContext.Current.CancellationToken;
        Assert.Equal(1, await ClearCounter.RaiseAsync(registry, "default", 0, cancel));
        // A node may know of more than the registry does, after that was wiped.
        Assert.Equal(8, await ClearCounter.RaiseAsync(registry, "default", 7, cancel));
        Assert.Equal(9, await ClearCounter.RaiseAsync(registry, "default", 2, cancel));
        Assert.Equal(1, await ClearCounter.RaiseAsync(registry, "other", 0, cancel));
        long[] raised = await Task.WhenAll(
            Enumerable.Range(0, 8).Select(_ => ClearCounter.RaiseAsync(registry, "default", 0, cancel)));
        Assert.Equal(Enumerable.Range(10, 8).Select(i => (long)i), raised.Order());
        var entry = (await registry.ListAsync(cancel)).Entries.Single(e => e.Key == "cleared/default");
        Assert.Equal("17", Encoding.UTF8.GetString(entry.Value));
        Assert.Equal(0, entry.Lease);
    }

    [Theory]
    [InlineData("0", 0L)]
    [InlineData("1152921504606846976", 1L << 60)]
    [InlineData("1152921504606846977", null)]
    [InlineData("-1", null)]
    [InlineData("x", null)]
    [InlineData("", null)]
    public void What_is_no_counter_is_nothing(string text, long? counter) =>
        Assert.Equal(counter, ClearCounter.Parse(Encoding.UTF8.GetBytes(text)));
}
