// SPDX-License-Identifier: Apache-2.0

using System.Text;
using System.Text.Json;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Client.Tests;

/// <summary>Keys that trip stores which treat them as text, paths or patterns.</summary>
public sealed class AwkwardKeyTests
{
    private const string Composed = "\u00e9";
    private const string Decomposed = "e\u0301";

    public static List<MeshKey> Keys { get; } =
    [
        new("a/b//c"), new("/lead"), new("../../etc/passwd"), new("a b\tc"), new("k:@#?%00"),
        new("\u6a21\u578b/\u5c42-7"), new(Composed), new(Decomposed), new("x"),
        new(new string('y', 4096)), new(new string('z', 65_536)),
        new("vllm@/disc/f/models/x@1@0@0123abcdmetadata"), new("a\nb"), new("*"), new("'\";--"),
        new([0]), new([0, 0]), new([0xff, 0xfe]), new([0xc3, 0x28]), new("a/b//"), new(" "), new("a b\tc "),
    ];

    [Fact]
    public async Task Every_legal_key_is_kept_byte_for_byte_and_apart_from_the_others()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var writer = await mesh.ClientAsync(0);
        await using var reader = await mesh.ClientAsync(1);
        for (int i = 0; i < Keys.Count; i++)
        {
            Assert.False(await reader.ExistsAsync(Keys[i]));
            var put = await writer.PutAsync(Keys[i], ValueOf(i), new PutOptions { Placement = Placement.Spread });
            Assert.False(put.Existed);
        }

        for (int i = 0; i < Keys.Count; i++)
        {
            Assert.True(await reader.ExistsAsync(Keys[i]));
            Assert.Equal(ValueOf(i), await reader.GetAsync(Keys[i]));
        }

        Assert.Equal(Keys.Count * LocalMesh.Room(1024), mesh.LiveBytes);
        Assert.Equal(Keys.Count, mesh.Nodes.Sum(n => n.Status().Memory.Objects));
        await ListsAreExactAsync(reader);
        await StatusIsReadableAsync(reader);
        for (int i = 0; i < Keys.Count; i++)
        {
            Assert.True(await reader.RemoveAsync(Keys[i]));
            for (int j = 0; j < Keys.Count; j++)
                Assert.Equal(j > i, await writer.ExistsAsync(Keys[j]));
        }

        await mesh.SettledAsync(0);
    }

    [Fact]
    public async Task Batches_take_every_legal_key_at_once()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        var puts = await client.TryPutBatchAsync(Keys,
            [.. Enumerable.Range(0, Keys.Count).Select(i => (ReadOnlyMemory<byte>)ValueOf(i))]);
        Assert.All(puts, p => Assert.False(p.Value.Existed));
        Assert.All(await client.TryExistsBatchAsync(Keys), e => Assert.True(e.Value));
        var gets = await client.TryGetBatchAsync(Keys);
        for (int i = 0; i < Keys.Count; i++)
            Assert.Equal(ValueOf(i), gets[i].Value);
        Assert.Equal(Keys.Count, (await client.TryMatchPrefixAsync(Keys)).Value.Length);
    }

    [Fact]
    public async Task Keys_create_nothing_in_the_registry_nor_in_the_file_system()
    {
        await using var mesh = await LocalMesh.StartAsync(2, 16 << 20);
        await using var client = await mesh.ClientAsync();
        string[] before = RegistryKeys(mesh);
        string[] files = System.IO.Directory.GetFileSystemEntries(Environment.CurrentDirectory);
        for (int i = 0; i < Keys.Count; i++)
            await client.PutAsync(Keys[i], ValueOf(i));
        Assert.Equal(before, RegistryKeys(mesh));
        Assert.All(before, k => Assert.True(k == "config" || k.StartsWith("nodes/", StringComparison.Ordinal), k));
        Assert.Equal(files, System.IO.Directory.GetFileSystemEntries(Environment.CurrentDirectory));
    }

    [Theory]
    [InlineData(0, "65536")]
    [InlineData(65_537, "65536")]
    [InlineData(1 << 20, "65536")]
    public async Task Illegal_keys_are_refused_naming_the_limit(int length, string limit)
    {
        await using var mesh = await LocalMesh.StartAsync(1, 16 << 20);
        await using var client = await mesh.ClientAsync();
        var bad = new MeshKey(new byte[length]);
        var good = new MeshKey("good");
        byte[] untouched = [0xEE, 0xEE, 0xEE];
        var errors = new List<MeshError?>
        {
            (await client.TryPutAsync(bad, new byte[10])).Error,
            (await client.TryGetAsync(bad)).Error,
            (await client.TryGetAsync(bad, untouched.AsMemory())).Error,
            (await client.TryExistsAsync(bad)).Error,
            (await client.TryRemoveAsync(bad)).Error,
            (await client.TryMatchPrefixAsync([good, bad])).Error,
        };
        var puts = await client.TryPutBatchAsync([good, bad], [new byte[] { 1, 2, 3 }, new byte[10]]);
        var exists = await client.TryExistsBatchAsync([bad, good]);
        var gets = await client.TryGetBatchAsync([bad, good]);
        byte[] filled = [0, 0, 0];
        var into = await client.TryGetBatchAsync([bad, good], [untouched, filled]);
        errors.AddRange([puts[1].Error, exists[0].Error, gets[0].Error, into[0].Error]);
        Assert.All(errors, e => Assert.Equal(MeshErrorCode.InvalidKey, e?.Code));
        Assert.All(errors, e => Assert.Contains(limit, e!.Message, StringComparison.Ordinal));
        Assert.All(untouched, b => Assert.Equal(0xEE, b));
        Assert.False(puts[0].Value.Existed);
        Assert.True(exists[1].Value);
        Assert.Equal([1, 2, 3], gets[1].Value);
        Assert.Equal([1, 2, 3], filled);
        Assert.Equal(LocalMesh.Room(3), mesh.LiveBytes);
    }

    [Fact]
    public async Task A_key_that_was_never_made_is_refused_as_an_empty_one()
    {
        await using var mesh = await LocalMesh.StartAsync(1, 1 << 20);
        await using var client = await mesh.ClientAsync();
        MeshKey none = default;
        Assert.Equal(MeshErrorCode.InvalidKey, (await client.TryPutAsync(none, new byte[1])).Error?.Code);
        Assert.Equal(MeshErrorCode.InvalidKey, (await client.TryGetAsync(none)).Error?.Code);
        Assert.Equal(MeshErrorCode.InvalidKey, (await client.TryExistsBatchAsync([none]))[0].Error?.Code);
        Assert.Equal(MeshErrorCode.InvalidKey, (await client.TryRemoveAsync(none)).Error?.Code);
        Assert.Equal("", none.ToString());
    }

    private static byte[] ValueOf(int i)
    {
        byte[] value = new byte[1024];
        new Random(i + 1).NextBytes(value);
        return value;
    }

    private static async Task ListsAreExactAsync(MeshClient client)
    {
        Assert.Equal(Keys.ToHashSet(), await ListAsync(client, ""));
        foreach (string prefix in new[] { "a/b", "/lead", "../", Composed, Decomposed, "\u6a21", "k:@#?%", "*", "no" })
        {
            byte[] bytes = Encoding.UTF8.GetBytes(prefix);
            var expected = Keys.Where(k => k.Bytes.AsSpan().StartsWith(bytes)).ToHashSet();
            Assert.Equal(expected, await ListAsync(client, prefix));
        }
    }

    private static async Task<HashSet<MeshKey>> ListAsync(MeshClient client, string prefix)
    {
        var listed = new HashSet<MeshKey>();
        await foreach (var item in client.ListAsync(prefix))
        {
            Assert.Equal(1024, item.Value.Size);
            Assert.True(listed.Add(item.Value.Key), item.Value.Key.ToString());
        }

        return listed;
    }

    private static async Task StatusIsReadableAsync(MeshClient client)
    {
        var all = await client.TryStatusOfAllAsync();
        Assert.Equal(2, all.Count);
        Assert.Equal(Keys.Count, all.Sum(s => s.Status.Value.Memory.Objects));
        using var json = JsonDocument.Parse((await client.TryStatusAsync()).Value);
        Assert.Equal(JsonValueKind.Object, json.RootElement.ValueKind);
    }

    private static string[] RegistryKeys(LocalMesh mesh) =>
        [.. mesh.Registry.Read().Entries.Select(e => e.Key).Order(StringComparer.Ordinal)];
}
