// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Puts by a process of the holder's host, which fills the extent itself (rule A5).</summary>
public sealed class SharedPutTests
{
    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(60) };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData((64 << 10) + 1)]
    [InlineData(300_000)]
    [InlineData((5 << 20) + 7)]
    public async Task Bytes_go_through_shared_memory_and_are_what_a_get_over_tcp_finds(int size)
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        await using var far = await world.ClientAsync(sameHost: false);
        byte[] value = Value(size);
        var put = await client.Operations.PutAsync(new MeshKey("a"), value, Patient, Cancel);
        Assert.Equal(1, put.Value.Replicas);
        Assert.Equal(size, Written(client, "shm"));
        Assert.Equal(0, Written(client, "tcp"));
        using var target = new ArrayTarget();
        Assert.Equal(size, (await far.Operations.GetAsync(new MeshKey("a"), target, null, Cancel)).Value);
        Assert.Equal(value, target.Array);
        Assert.Equal((0L, 0L), (world.Store.Usage.Filling, world.Node.Holder.Processes.Usage.ReservedBytes));
    }

    [Fact]
    public async Task A_holder_that_grants_no_writes_gets_the_bytes_over_a_socket()
    {
        await using var world = await TransferWorld.StartAsync(change: o => o with { ClientWrites = ClientWrites.Off });
        await using var client = await world.ClientAsync();
        byte[] value = Value(1 << 20);
        Assert.True((await client.Operations.PutAsync(new MeshKey("a"), value, Patient, Cancel)).Succeeded);
        Assert.Equal((0, value.Length), (Written(client, "shm"), Written(client, "tcp")));
    }

    [Fact]
    public async Task A_put_over_the_allowance_of_a_process_goes_over_a_socket()
    {
        await using var world = await TransferWorld.StartAsync(change: o => o with { ClientReservedBytes = 1 << 20 });
        await using var client = await world.ClientAsync();
        byte[] value = Value((1 << 20) + 1);
        Assert.True((await client.Operations.PutAsync(new MeshKey("a"), value, Patient, Cancel)).Succeeded);
        Assert.Equal((0, value.Length), (Written(client, "shm"), Written(client, "tcp")));
    }

    [Fact]
    public async Task Reservations_are_capped_for_each_process_with_an_error_that_names_the_limit()
    {
        await using var world = await TransferWorld.StartAsync(change: o => o with { ClientReservedBytes = 3 << 20 });
        await using var client = await world.ClientAsync();
        ulong name = await NameAsync(world, client);
        Assert.True((await ReserveAsync(world, client, name, 1, 2 << 20)).Succeeded);
        var refused = await ReserveAsync(world, client, name, 2, 2 << 20);
        Assert.Equal(MeshErrorCode.ClientLimit, refused.Error?.Code);
        Assert.Contains($"limit is {3 << 20} bytes", refused.Error!.Message, StringComparison.Ordinal);
        Assert.Equal(2 << 20, world.Node.Holder.Processes.Usage.ReservedBytes);

        await client.Operations.Context.Calls.AbandonAsync(world.Record, new AbandonRequest(1), Patient.Deadline!.Value,
            Cancel);
        Assert.Equal(0, world.Node.Holder.Processes.Usage.ReservedBytes);
        Assert.True((await ReserveAsync(world, client, name, 2, 2 << 20)).Succeeded);
    }

    [Fact]
    public async Task Nobody_reserves_in_the_name_of_a_process_that_is_not_known()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        ulong name = await NameAsync(world, client);
        var refused = await ReserveAsync(world, client, name + 1, 1, 1 << 20);
        Assert.Equal(MeshErrorCode.Unavailable, refused.Error?.Code);
        Assert.Equal(0, world.Store.Usage.Filling);
    }

    [Fact]
    public async Task A_seal_needs_sums_that_make_up_its_checksum()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        ulong name = await NameAsync(world, client);
        Assert.True((await ReserveAsync(world, client, name, 7, 128 << 10)).Succeeded);
        var seal = new SealRequest(7, 12345, [1, 2]);
        var refused = await client.Operations.Context.Calls.SealAsync(world.Record, seal,
            Patient.Deadline!.Value, Cancel);
        Assert.Equal(MeshErrorCode.InvalidArgument, refused.Error?.Code);
        Assert.Equal((0, 0), (world.Store.Usage.Filling, world.Store.Usage.Live));
        Assert.Equal(0, world.Node.Holder.Processes.Usage.ReservedBytes);
    }

    [Fact]
    public async Task What_is_given_up_before_it_is_made_is_not_made()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        ulong name = await NameAsync(world, client);
        await client.Operations.Context.Calls.AbandonAsync(world.Record, new AbandonRequest(9), Patient.Deadline!.Value,
            Cancel);
        Assert.False((await ReserveAsync(world, client, name, 9, 1 << 20)).Succeeded);
        Assert.Equal(0, world.Store.Usage.Filling);
        Assert.Equal(0, world.Node.Holder.Processes.Usage.ReservedBytes);
    }

    [Fact]
    public async Task A_client_that_is_disposed_leaves_no_reservation()
    {
        await using var world = await TransferWorld.StartAsync();
        var client = await world.ClientAsync();
        ulong name = await NameAsync(world, client);
        Assert.True((await ReserveAsync(world, client, name, 1, 1 << 20)).Succeeded);
        await client.DisposeAsync();
        while (world.Node.Holder.Processes.Usage.Processes > 0 || world.Store.Usage.Filling > 0)
            await Task.Delay(5, Cancel);
    }

    internal static byte[] Value(int size)
    {
        byte[] value = new byte[size];
        new Random(size).NextBytes(value);
        return value;
    }

    private static async Task<ulong> NameAsync(TransferWorld world, ClientPeer client)
    {
        var mapping = await client.Operations.Plan.Shared!.HoldAsync(world.Record, TimeSpan.FromSeconds(60), Cancel);
        Assert.True(mapping!.MayWrite);
        mapping.Release();
        return mapping.Client;
    }

    private static Task<MeshResult<ReserveAnswer>> ReserveAsync(TransferWorld world, ClientPeer client, ulong name,
        ulong id, long size)
    {
        var head = new PutHead(new MeshKey($"k{id}"), id, size, 1, false, 60_000);
        return client.Operations.Context.Calls.ReserveAsync(world.Record, new ReserveRequest(head, name, id),
            TimeSpan.FromSeconds(60), Cancel);
    }

    private static long Written(ClientPeer client, string transport) =>
        client.Operations.Plan.Bytes().Single(b => b.Name == transport).Written;
}
