// SPDX-License-Identifier: Apache-2.0

using System.IO.Hashing;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>A put whose answer did not come is tried again, and meets its own first attempt.</summary>
public sealed class PutRetryTests
{
    private static readonly MeshKey Key = new("k");
    private static readonly byte[] Value = [1, 2, 3];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_second_attempt_at_the_same_holder_leaves_the_first_in_place(bool replace)
    {
        await using var world = await TransferWorld.StartAsync(1 << 20);
        var first = await PutAsync(world, 7, replace);
        Assert.Equal((PutFate.Stored, false), (first.Fate, first.Existed));
        var again = await PutAsync(world, 7, replace);
        Assert.Equal((PutFate.Own, false, first.Version), (again.Fate, again.Existed, again.Version));
        await ToldAsync(world);
        Assert.Equal(OwnerCode.Yes, Locate(world).Code);
        Assert.Equal(1, world.Store.Usage.Objects);
        Assert.Equal(4096, world.Store.Usage.Used);
    }

    [Fact]
    public async Task An_attempt_that_comes_after_what_replaced_it_changes_nothing()
    {
        await using var world = await TransferWorld.StartAsync(1 << 20);
        var first = await PutAsync(world, 7, replace: false);
        var second = await PutAsync(world, 8, replace: true);
        Assert.True(second.Version > first.Version);
        var late = await PutAsync(world, 7, replace: false);
        // Of a first put nothing tells it from an older object of the same bytes.
        Assert.Equal((PutFate.Existed, true, second.Version), (late.Fate, late.Existed, late.Version));
        await ToldAsync(world);
        Assert.Equal((OwnerCode.Yes, 8ul), (Locate(world).Code, Locate(world).Record!.ObjectId));
        Assert.Equal(4096, world.Store.Usage.Used);
    }

    [Fact]
    public async Task An_attempt_at_a_removed_object_is_not_put_again()
    {
        await using var world = await TransferWorld.StartAsync(1 << 20);
        await PutAsync(world, 7, replace: true);
        Assert.Equal(OwnerCode.Yes, (await world.Node.Handler.Clients!.RemoveAsync(new RemoveRequest(Key, 20_000),
            TestContext.Current.CancellationToken)).Value.Items[0].Code);
        Assert.Equal(PutFate.Own, (await PutAsync(world, 7, replace: true)).Fate);
        await ToldAsync(world);
        Assert.Equal(OwnerCode.Absent, Locate(world).Code);
        Assert.Equal(0, world.Store.Usage.Used);
    }

    private static async Task<PutAnswer> PutAsync(TransferWorld world, ulong objectId, bool replace)
    {
        var head = new PutHead(Key, objectId, Value.Length, 1, false, 20_000, replace);
        var request = new PutRequest(head, XxHash3.HashToUInt64(Value), Value);
        return (await world.Node.Handler.Clients!.PutAsync(request, TestContext.Current.CancellationToken)).Value;
    }

    /// <summary>Waits until owners have been told of everything that was dropped.</summary>
    private static async Task ToldAsync(TransferWorld world)
    {
        while (world.Node.Holder.Dropped.Count > 0)
            await Task.Delay(5, TestContext.Current.CancellationToken);
    }

    private static OwnerAnswer Locate(TransferWorld world)
    {
        OwnerService owner = world.Node.Owner!.Owner;
        var answer = owner.Mirror(new MirrorRequest([new KeyedRecord(Key, new ObjectRecord { ObjectId = 1 })]));
        return answer.Items[0].Record is { Removed: false } record
            ? new OwnerAnswer(OwnerCode.Yes, record)
            : new OwnerAnswer(OwnerCode.Absent);
    }
}
