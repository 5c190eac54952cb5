// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Views of objects in the memory of a node of this host.</summary>
public sealed class ViewTests
{
    private static readonly MeshKey Key = new("a");
    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(60) };
    private static readonly ViewOptions View = new() { Deadline = TimeSpan.FromSeconds(60) };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(70_000)]
    [InlineData(3 << 20)]
    public async Task A_view_shows_the_bytes_and_is_counted_until_it_is_disposed(int size)
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        byte[] value = SharedPutTests.Value(size);
        await client.Operations.PutAsync(Key, value, Patient, Cancel);
        foreach (bool verify in (bool[])[false, true])
        {
            var view = (await client.Operations.ViewAsync(Key, View with { Verify = verify }, Cancel)).Value;
            Assert.Equal(size, view.Size);
            Assert.True(view.Bytes.Span.SequenceEqual(value));
            var usage = world.Node.Holder.Processes.Usage;
            Assert.Equal((1, size), (usage.Views, usage.ViewBytes));
            Assert.Equal(1, world.Node.Status().SharedMemory.Views);
            view.Dispose();
            view.Dispose();
            Assert.Throws<ObjectDisposedException>(() => view.Bytes);
            Assert.Throws<ObjectDisposedException>(() => view.Range);
            await ViewsAsync(world, 0);
        }
    }

    [Fact]
    public async Task What_is_removed_while_it_is_viewed_keeps_its_bytes_and_its_memory_until_the_view_ends()
    {
        await using var world = await TransferWorld.StartAsync(16 << 20);
        await using var client = await world.ClientAsync();
        byte[] value = SharedPutTests.Value(8 << 20);
        await client.Operations.PutAsync(Key, value, Patient, Cancel);
        var view = (await client.Operations.ViewAsync(Key, View, Cancel)).Value;
        Assert.True((await client.Operations.RemoveAsync(Key, TimeSpan.FromSeconds(60), Cancel)).Value);
        Assert.Equal(MeshErrorCode.NotFound, (await client.Operations.ViewAsync(Key, View, Cancel)).Error?.Code);
        Assert.Equal((0, 8 << 20), (world.Store.Usage.Live, world.Store.Usage.Zombie));

        // The other half of the memory is filled over and over; what is viewed stays.
        for (int i = 0; i < 10; i++)
        {
            var put = await client.Operations.PutAsync(new MeshKey($"b{i}"), new byte[7 << 20], Patient, Cancel);
            Assert.True(put.Succeeded, put.Error?.ToString());
        }

        Assert.True(view.Bytes.Span.SequenceEqual(value));
        view.Dispose();
        while (world.Store.Usage.Zombie > 0)
            await Task.Delay(5, Cancel);
    }

    [Fact]
    public async Task Views_of_a_process_are_capped_in_number_with_an_error_that_names_the_limit()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        await client.Operations.PutAsync(Key, new byte[10], Patient, Cancel);
        var views = new List<MappedView>();
        for (int i = 0; i < ClientLimits.Views; i++)
            views.Add((await client.Operations.ViewAsync(Key, View, Cancel)).Value);
        var refused = await client.Operations.ViewAsync(Key, View, Cancel);
        Assert.Equal(MeshErrorCode.ClientLimit, refused.Error?.Code);
        Assert.Contains($"limit is {ClientLimits.Views}", refused.Error!.Message, StringComparison.Ordinal);
        views[0].Dispose();
        views[0] = (await client.Operations.ViewAsync(Key, View, Cancel)).Value;
        views.ForEach(view => view.Dispose());
        await ViewsAsync(world, 0);
    }

    [Fact]
    public async Task Views_of_a_process_are_capped_in_bytes()
    {
        await using var world = await TransferWorld.StartAsync(change: o => o with { ClientViewBytes = 1_500_000 });
        await using var client = await world.ClientAsync();
        await client.Operations.PutAsync(Key, new byte[1 << 20], Patient, Cancel);
        using var view = (await client.Operations.ViewAsync(Key, View, Cancel)).Value;
        var refused = await client.Operations.ViewAsync(Key, View, Cancel);
        Assert.Equal(MeshErrorCode.ClientLimit, refused.Error?.Code);
        Assert.Contains("limit is 1500000 bytes", refused.Error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_view_asked_to_be_verified_is_refused_when_its_bytes_have_changed()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        await client.Operations.PutAsync(Key, SharedPutTests.Value(200_000), Patient, Cancel);
        Assert.True(world.Store.TryFind(Key, out var held));
        Flip(world, held);
        (await client.Operations.ViewAsync(Key, View, Cancel)).Value.Dispose();
        var refused = await client.Operations.ViewAsync(Key, View with { Verify = true }, Cancel);
        Assert.Equal(MeshErrorCode.NotFound, refused.Error?.Code);
        Assert.True(client.Operations.CorruptReads > 0);
    }

    [Fact]
    public async Task From_another_host_there_is_no_view()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync(sameHost: false);
        await client.Operations.PutAsync(Key, new byte[10], Patient, Cancel);
        Assert.Equal(MeshErrorCode.Unavailable, (await client.Operations.ViewAsync(Key, View, Cancel)).Error?.Code);
        Assert.Equal(MeshErrorCode.NotFound,
            (await client.Operations.ViewAsync(new MeshKey("none"), View, Cancel)).Error?.Code);
    }

    [Fact]
    public async Task In_the_nodes_own_process_a_view_is_a_pin()
    {
        await using var world = await TransferWorld.StartAsync();
        byte[] value = SharedPutTests.Value(100_000);
        await world.Node.Operations.PutAsync(Key, value, Patient, Cancel);
        var view = (await world.Node.Operations.ViewAsync(Key, View with { Verify = true }, Cancel)).Value;
        await world.Node.Operations.RemoveAsync(Key, TimeSpan.FromSeconds(60), Cancel);
        Assert.True(view.Bytes.Span.SequenceEqual(value));
        Assert.True(world.Store.Usage.Zombie > 0);
        view.Dispose();
        Assert.Equal(0, world.Store.Usage.Zombie);
    }

    [Fact]
    public async Task A_view_outlives_its_client_and_its_holder_until_it_is_disposed()
    {
        await using var world = await TransferWorld.StartAsync();
        var client = await world.ClientAsync();
        byte[] value = SharedPutTests.Value(1 << 20);
        await client.Operations.PutAsync(Key, value, Patient, Cancel);
        var view = (await client.Operations.ViewAsync(Key, View, Cancel)).Value;
        await client.DisposeAsync();
        await world.Node.Operations.RemoveAsync(Key, TimeSpan.FromSeconds(60), Cancel);
        Assert.Equal(1 << 20, world.Store.Usage.Zombie);
        Assert.True(view.Bytes.Span.SequenceEqual(value));
        world.Node.Abort();
        Assert.True(view.Bytes.Span.SequenceEqual(value));
        view.Dispose();
    }

    private static unsafe void Flip(TransferWorld world, Mooncake.Mesh.Segments.HeldObject held) =>
        world.Store.Segments[0].Memory.Host!.Pointer[held.Extent.Offset + 77] ^= 1;

    private static async Task ViewsAsync(TransferWorld world, int count)
    {
        while (world.Node.Holder.Processes.Usage.Views != count)
            await Task.Delay(5, Cancel);
    }
}
