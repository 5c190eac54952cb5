// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Batches: one result per position, whatever the other positions hold.</summary>
public sealed class BatchTests
{
    private static readonly MeshKey Bad = new("");

    [Fact]
    public async Task Missing_bad_and_repeated_keys_each_get_their_own_result()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        byte[] a = Bytes(1, 300);
        byte[] b = Bytes(2, 200);
        await client.PutAsync(new MeshKey("a"), a);
        await client.PutAsync(new MeshKey("b"), b, new PutOptions { Placement = Placement.Spread });
        MeshKey[] keys = [new("a"), new("nope"), new("a"), new("b"), Bad, new("a")];
        byte[][] buffers = [Filled(300), Filled(300), Filled(301), Filled(400), Filled(300), Filled(512)];
        var got = await client.TryGetBatchAsync(keys, [.. buffers.Select(x => x.AsMemory())]);
        Assert.Equal(6, got.Length);
        Assert.Equal(300, got[0].Value);
        Assert.Equal(MeshErrorCode.NotFound, got[1].Error?.Code);
        Assert.Equal(300, got[2].Value);
        Assert.Equal(200, got[3].Value);
        Assert.Equal(MeshErrorCode.InvalidKey, got[4].Error?.Code);
        Assert.Equal(300, got[5].Value);
        foreach (int i in new[] { 0, 2, 5 })
            HoldsThenUntouched(a, buffers[i]);
        HoldsThenUntouched(b, buffers[3]);
        HoldsThenUntouched([], buffers[1]);
        HoldsThenUntouched([], buffers[4]);
    }

    [Fact]
    public async Task Of_a_key_put_twice_in_a_batch_the_first_value_wins()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        byte[] first = Bytes(3, 100_000);
        var puts = await client.TryPutBatchAsync([new("x"), new("x"), new("y")],
            [first, Bytes(4, 70_000), Bytes(5, 10)]);
        Assert.Equal(3, puts.Length);
        Assert.False(puts[0].Value.Existed);
        Assert.True(puts[1].Value.Existed);
        Assert.Equal(puts[0].Value.Version, puts[1].Value.Version);
        Assert.False(puts[2].Value.Existed);
        Assert.Equal(first, await client.GetAsync(new MeshKey("x")));
        Assert.Equal(Bytes(5, 10), await client.GetAsync(new MeshKey("y")));
        await mesh.SettledAsync(LocalMesh.Room(100_000) + LocalMesh.Room(10));
    }

    [Fact]
    public async Task Lists_of_unequal_length_are_refused_before_anything_is_done()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 16 << 20);
        await using var client = await mesh.ClientAsync();
        MeshKey[] keys = [new("p"), new("q")];
        var put = await Assert.ThrowsAsync<ArgumentException>(
            () => client.TryPutBatchAsync(keys, [Bytes(1, 10)]));
        Assert.Contains("1 entries for 2 keys", put.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ArgumentException>(
            () => client.TryPutBatchAsync([new("p")], [Bytes(1, 10), Bytes(2, 10)]));
        Assert.All(await client.TryExistsBatchAsync(keys), e => Assert.False(e.Value));
        Assert.Equal(0, mesh.LiveBytes);
        await client.PutAsync(keys[0], Bytes(1, 10));
        byte[] buffer = Filled(10);
        await Assert.ThrowsAsync<ArgumentException>(() => client.TryGetBatchAsync(keys, [buffer.AsMemory()]));
        HoldsThenUntouched([], buffer);
    }

    [Fact]
    public async Task Empty_batches_have_empty_results()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 1 << 20);
        await using var client = await mesh.ClientAsync();
        Assert.Empty(await client.TryPutBatchAsync([], []));
        Assert.Empty(await client.TryGetBatchAsync([]));
        Assert.Empty(await client.TryGetBatchAsync([], Array.Empty<Memory<byte>>()));
        Assert.Empty(await client.TryExistsBatchAsync([]));
        var prefix = await client.TryMatchPrefixAsync([]);
        Assert.Equal(0, prefix.Value.Length);
        Assert.Empty(prefix.Value.Present);
    }

    [Fact]
    public async Task A_bad_entry_changes_no_other_entrys_result()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 4 << 20);
        await using var client = await mesh.ClientAsync();
        var tooLong = new MeshKey(new byte[MeshKey.MaxLength + 1]);
        MeshKey[] keys = [Bad, new("1"), tooLong, new("2"), new("huge"), default, new("3")];
        var values = new ReadOnlyMemory<byte>[]
        {
            Bytes(1, 9), Bytes(2, 9), Bytes(3, 9), Bytes(4, 90_000), new byte[8 << 20], Bytes(6, 9), Bytes(7, 0),
        };
        var puts = await client.TryPutBatchAsync(keys, values);
        Assert.Equal(
            [MeshErrorCode.InvalidKey, null, MeshErrorCode.InvalidKey, null, null, MeshErrorCode.InvalidKey, null],
            puts.Select((p, i) => i == 4 ? null : p.Error?.Code));
        Assert.Contains(puts[4].Error?.Code,
            new MeshErrorCode?[] { MeshErrorCode.NoSpace, MeshErrorCode.InvalidArgument });
        byte[][] buffers = [Filled(9), Filled(9), Filled(9), Filled(8), Filled(9), Filled(9), Filled(9)];
        var gets = await client.TryGetBatchAsync(keys, [.. buffers.Select(x => x.AsMemory())]);
        Assert.Equal(9, gets[1].Value);
        Assert.Equal(MeshErrorCode.InvalidArgument, gets[3].Error?.Code);
        Assert.Equal(MeshErrorCode.NotFound, gets[4].Error?.Code);
        Assert.Equal(0, gets[6].Value);
        HoldsThenUntouched(Bytes(2, 9), buffers[1]);
        foreach (int i in new[] { 0, 2, 3, 4, 5, 6 })
            HoldsThenUntouched([], buffers[i]);
    }

    [Fact]
    public async Task Batches_above_the_frame_limit_are_cut_and_put_together_again()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20);
        await using var client = await mesh.ClientAsync();
        var keys = Enumerable.Range(0, 3_000).Select(i => new MeshKey($"block-{i}")).ToArray();
        var puts = await client.TryPutBatchAsync(keys, [.. keys.Select((_, i) => (ReadOnlyMemory<byte>)Bytes(i, 40))],
            new PutOptions { Placement = Placement.Spread });
        Assert.All(puts, p => Assert.False(p.Value.Existed));
        Assert.All(await client.TryExistsBatchAsync(keys), e => Assert.True(e.Value));
        var gets = await client.TryGetBatchAsync(keys);
        for (int i = 0; i < keys.Length; i++)
            Assert.Equal(Bytes(i, 40), gets[i].Value);
        var match = (await client.TryMatchPrefixAsync([.. keys, new("end"), keys[0]])).Value;
        Assert.Equal(3_000, match.Length);
        Assert.Equal(3_002, match.Present.Count);
        Assert.False(match.Present[3_000]);
        Assert.True(match.Present[3_001]);
    }

    [Fact]
    public async Task Batches_of_long_keys_are_cut_by_bytes()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20);
        await using var client = await mesh.ClientAsync();
        var view = mesh.Nodes[0].View;
        string first = mesh.Nodes[0].NodeId;
        var all = Enumerable.Range(0, 300).Select(i => new MeshKey($"{i}{new string('k', 65_000)}"))
            .ToLookup(k => view.Owner(view.SlotOf(k.Hash), 0)!.NodeId == first);
        // One key of another owner after seven of the first: no owner's keys may be counted as another's.
        var keys = all[true].Take(70).Chunk(7).Zip(all[false]).SelectMany(p => p.First.Append(p.Second)).ToArray();
        Assert.All(await client.TryExistsBatchAsync(keys), e => Assert.False(e.Value));
        var puts = await client.TryPutBatchAsync(keys, [.. keys.Select((_, i) => (ReadOnlyMemory<byte>)Bytes(i, 8))]);
        Assert.All(puts, p => Assert.True(p.Succeeded, p.Error?.ToString()));
        Assert.All(await client.TryExistsBatchAsync(keys), e => Assert.True(e.Value));
        var gets = await client.TryGetBatchAsync(keys);
        for (int i = 0; i < keys.Length; i++)
            Assert.Equal(Bytes(i, 8), gets[i].Value);
        int listed = 0;
        await foreach (var item in client.ListAsync(""))
            listed += item.Value.Key.Bytes.Length > 65_000 ? 1 : 0;
        Assert.Equal(keys.Length, listed);
    }

    [Fact]
    public async Task A_prefix_ends_at_its_first_gap()
    {
        await using var mesh = await LocalMesh.StartAsync(3, 16 << 20);
        await using var client = await mesh.ClientAsync();
        var keys = Enumerable.Range(0, 10).Select(i => new MeshKey($"c{i}")).ToArray();
        foreach (int i in new[] { 0, 1, 2, 4, 5, 9 })
            await client.PutAsync(keys[i], Bytes(i, 10), new PutOptions { Placement = Placement.Spread });
        var match = (await client.TryMatchPrefixAsync(keys)).Value;
        Assert.Equal(3, match.Length);
        Assert.Equal([true, true, true, false, true, true, false, false, false, true], match.Present);
        Assert.Equal(0, (await client.TryMatchPrefixAsync(keys[3..])).Value.Length);
        Assert.Equal(2, (await client.TryMatchPrefixAsync(keys[4..])).Value.Length);
        Assert.Equal(1, (await client.TryMatchPrefixAsync(keys[9..])).Value.Length);
        await client.RemoveAsync(keys[0]);
        Assert.Equal(0, (await client.TryMatchPrefixAsync(keys)).Value.Length);
    }

    private static byte[] Bytes(int seed, int length)
    {
        byte[] value = new byte[length];
        new Random(seed).NextBytes(value);
        return value;
    }

    private static byte[] Filled(int length)
    {
        byte[] buffer = new byte[length];
        Array.Fill(buffer, (byte)0xEE);
        return buffer;
    }

    private static void HoldsThenUntouched(byte[] value, byte[] buffer)
    {
        Assert.Equal(value, buffer[..value.Length]);
        Assert.All(buffer[value.Length..], x => Assert.Equal(0xEE, x));
    }
}
