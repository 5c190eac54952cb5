// SPDX-License-Identifier: Apache-2.0

using System.Security.Cryptography;
using System.Text.Json;

namespace Mooncake.Mesh.Cluster;

/// <summary>Three serve processes on a real etcd: what is in etcd, and what is not.</summary>
[Trait("needs", "etcd")]
public sealed class ServeTests
{
    [Fact]
    public async Task A_file_put_through_one_node_is_got_through_another()
    {
        await using var mesh = await ServeMesh.StartAsync(3);
        string directory = System.IO.Directory.CreateTempSubdirectory("mesh-file-").FullName;
        try
        {
            foreach (int size in new[] { 0, 1, 100_000, 5_000_000 })
            {
                byte[] bytes = RandomNumberGenerator.GetBytes(size);
                string source = Path.Combine(directory, $"in-{size}");
                string target = Path.Combine(directory, $"out-{size}");
                await File.WriteAllBytesAsync(source, bytes, TestContext.Current.CancellationToken);
                string put = await MeshCommandLine.OutputAsync("put", $"file-{size}", source, "--json",
                    "--cluster", ServeMesh.Cluster, "--node", mesh.Nodes[0].Endpoint);
                Assert.Equal(size, Field(put, "size").GetInt64());
                string got = await MeshCommandLine.OutputAsync("get", $"file-{size}", "-o", target, "--json",
                    "--cluster", ServeMesh.Cluster, "--node", mesh.Nodes[1].Endpoint);
                string sum = Convert.ToHexStringLower(SHA256.HashData(bytes));
                Assert.Equal(sum, Field(got, "sha256").GetString());
                Assert.Equal(sum, Convert.ToHexStringLower(SHA256.HashData(
                    await File.ReadAllBytesAsync(target, TestContext.Current.CancellationToken))));
            }
        }
        finally
        {
            System.IO.Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Etcd_holds_readable_members_on_leases_and_never_a_key()
    {
        await using var mesh = await ServeMesh.StartAsync(3, "1GiB");
        string text = await mesh.Etcd.CtlAsync("get", "--prefix", "/mooncake-mesh/");
        string[] lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(8, lines.Length);
        for (int i = 0; i < lines.Length; i += 2)
        {
            Assert.StartsWith("/mooncake-mesh/t/", lines[i], StringComparison.Ordinal);
            using var json = JsonDocument.Parse(lines[i + 1]);
            Assert.Equal(JsonValueKind.Object, json.RootElement.ValueKind);
        }

        var leases = await mesh.RegistrationsAsync();
        Assert.Equal(["n1", "n2", "n3"], leases.Keys.Order(StringComparer.Ordinal));
        Assert.All(leases.Values, lease => Assert.NotEqual(0, lease));

        long before = await mesh.RevisionAsync();
        int puts = Figures.Count("MESH_TEST_PUTS", 10_000);
        var start = TimeProvider.System.GetTimestamp();
        await mesh.FillAsync("revision", puts);
        var took = TimeProvider.System.GetElapsedTime(start);
        Assert.Equal(before, await mesh.RevisionAsync());
        var states = await mesh.SettlesAsync(ServeMesh.Ttl * 2);
        Assert.Equal(puts, states.Sum(s => s.Memory.Objects));
        Figures.Print($"etcd revision {before} before and after {puts} puts ({puts / took.TotalSeconds:0} puts/s)");
    }

    private static JsonElement Field(string json, string name)
    {
        using var document = JsonDocument.Parse(json);
        return document.RootElement.GetProperty(name).Clone();
    }
}
