// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Objects in several extents, put and got as any other.</summary>
public sealed class ScatteredTests
{
    private const int Slice = 64 << 10;
    private static readonly MeshKey Key = new("large");
    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(60) };
    private static readonly GetOptions Get = new() { Deadline = TimeSpan.FromSeconds(60) };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Nobody_who_puts_or_gets_one_sees_a_difference(bool sameHost)
    {
        await using var world = await FragmentedAsync();
        await using var client = await world.ClientAsync(sameHost);
        byte[] value = SharedPutTests.Value((7 * Slice) + 1234);
        Assert.True((await client.Operations.PutAsync(Key, value, Patient, Cancel)).Succeeded);
        Assert.True(world.Store.TryFind(Key, out var held));
        Assert.True(held.IsScattered);
        foreach (bool verify in (bool[])[true, false])
        {
            using var target = new ArrayTarget();
            var got = await client.Operations.GetAsync(Key, target, Get with { Verify = verify }, Cancel);
            Assert.Equal(value.Length, got.Value);
            Assert.Equal(value, target.Array);
            (int, int)[] parts = [(0, 10), (Slice - 5, 10), (100, 5 * Slice), (7 * Slice, 1234)];
            foreach (var (offset, length) in parts)
            {
                using var part = new GuardedMemory(length);
                var read = await client.Operations.GetRangeAsync(new ObjectRange(Key, offset), part.Range,
                    Get with { Verify = verify }, Cancel);
                Assert.True(read.Succeeded, read.Error?.ToString());
                Assert.True(part.Bytes.SequenceEqual(value.AsSpan(offset, length)));
                part.AssertGuards();
            }
        }

        Assert.Equal(0, client.Operations.CorruptReads);
    }

    [Fact]
    public async Task A_node_in_the_process_of_its_user_has_them_too()
    {
        await using var world = await FragmentedAsync();
        byte[] value = SharedPutTests.Value((5 * Slice) + 1);
        Assert.True((await world.Node.Operations.PutAsync(Key, value, Patient, Cancel)).Succeeded);
        Assert.True(world.Store.TryFind(Key, out var held));
        Assert.True(held.IsScattered);
        using var target = new ArrayTarget();
        Assert.Equal(value.Length, (await world.Node.Operations.GetAsync(Key, target, Get, Cancel)).Value);
        Assert.Equal(value, target.Array);
    }

    [Fact]
    public async Task A_changed_byte_in_any_extent_is_found()
    {
        await using var world = await FragmentedAsync();
        await using var client = await world.ClientAsync();
        await client.Operations.PutAsync(Key, SharedPutTests.Value(4 * Slice), Patient, Cancel);
        Assert.True(world.Store.TryFind(Key, out var held));
        Assert.True(world.Store.TryPin(held.Extent.SegmentId, held.Extent.Offset, held.Extent.Generation, out var pin));
        using (pin)
            Flip(world, pin.Extents()[3].Offset + 17);
        using var target = new ArrayTarget();
        Assert.Equal(MeshErrorCode.NotFound, (await client.Operations.GetAsync(Key, target, Get, Cancel)).Error?.Code);
        Assert.True(client.Operations.CorruptReads > 0);
    }

    [Fact]
    public async Task A_view_of_one_is_refused_with_the_reason_and_a_removal_frees_it()
    {
        await using var world = await FragmentedAsync();
        await using var client = await world.ClientAsync();
        long free = world.Store.Usage.Free;
        await client.Operations.PutAsync(Key, SharedPutTests.Value(4 * Slice), Patient, Cancel);
        var options = new ViewOptions { Deadline = TimeSpan.FromSeconds(60) };
        var view = await client.Operations.ViewAsync(Key, options, Cancel);
        Assert.Equal(MeshErrorCode.Unavailable, view.Error?.Code);
        Assert.Contains("in several extents", view.Error!.Message, StringComparison.Ordinal);
        Assert.True((await client.Operations.RemoveAsync(Key, TimeSpan.FromSeconds(60), Cancel)).Value);
        Assert.Equal(free, world.Store.Usage.Free);
    }

    /// <summary>A node whose memory has twelve holes of one slice each, and no larger one.</summary>
    private static async Task<TransferWorld> FragmentedAsync()
    {
        var world = await TransferWorld.StartAsync(24 * Slice);
        var held = new List<Mooncake.Mesh.Segments.HeldObject>();
        while (world.TryHold(SharedPutTests.Value(Slice)) is { } one)
            held.Add(one);
        foreach (var one in held.OrderBy(h => h.Extent.Offset).Where((_, at) => at % 2 == 1))
            world.Store.Discard(one);
        Assert.Equal((12 * Slice, Slice), (world.Store.Usage.Free, world.Store.Usage.LargestFree));
        return world;
    }

    private static unsafe void Flip(TransferWorld world, long offset) =>
        world.Store.Segments[0].Memory.Host!.Pointer[offset] ^= 1;
}
