// SPDX-License-Identifier: Apache-2.0

using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Tests.Configuration;

public sealed class ServeOptionsLoaderTests
{
    [Fact]
    public void Comments_and_trailing_commas_are_read_over()
    {
        ServeOptions options = Parse("""
            // what this node is
            {
              "cluster": "prod", /* the mesh */
              "etcd": { "endpoints": "a:2379,b:2379", "passwordFile": "/run/secret" },
              "segments": [ { "size": "64MiB", "location": "cpu:1", "hugePages": false }, { "size": 4096 }, ],
              "labels": { "zone": "a" },
              "grace": "500ms",
              "rails": [ "10.0.0.7", "10.1.0.7" ],
              "eviction_high_watermark_ratio": 0.9,
              "tiers": { "place": "vram", "promoteAfter": 3 },
            }
            """).Value;
        Assert.Equal("prod", options.Cluster);
        Assert.Equal("a:2379,b:2379", options.Etcd.Endpoints);
        Assert.Equal("/run/secret", options.Etcd.PasswordFile);
        Assert.Equal([64L << 20, 4096], options.Segments.Select(segment => segment.Size));
        Assert.Equal(("cpu:1", false, true),
            (options.Segments[0].Location, options.Segments[0].HugePages, options.Segments[0].PreTouch));
        Assert.Equal("a", options.Labels["zone"]);
        Assert.Equal(["10.0.0.7", "10.1.0.7"], options.Rails);
        Assert.Equal(TimeSpan.FromMilliseconds(500), options.Grace);
        Assert.Equal(0.9, options.EvictionHighWatermarkRatio);
        Assert.Equal(new TierSettings { Place = "vram", PromoteAfter = 3 }, options.Tiers);
        Assert.Equal("127.0.0.1:0", options.Listen);
    }

    [Fact]
    [System.Runtime.Versioning.SupportedOSPlatform("linux")]
    public void The_secret_is_read_from_the_file_named_else_from_systemds_credential()
    {
        string folder = System.IO.Directory.CreateTempSubdirectory("mesh-credentials-").FullName;
        try
        {
            string credential = Path.Combine(folder, "cluster-secret");
            string? Environment(string name) => name == "CREDENTIALS_DIRECTORY" ? folder : null;
            Assert.Null(ServeOptionsLoader.Load(null, Environment, _ => null).Options.Secret);

            File.WriteAllText(credential, "the secret of systemd");
            File.SetUnixFileMode(credential, UnixFileMode.UserRead);
            Assert.NotNull(ServeOptionsLoader.Load(null, Environment, _ => null).Options.Secret);

            var (options, errors) = ServeOptionsLoader.Load(null, Environment,
                setting => setting.Name == "secretFile" ? Path.Combine(folder, "none") : null);
            Assert.Null(options.Secret);
            Assert.Contains(Path.Combine(folder, "none"), Assert.Single(errors).Message);
        }
        finally
        {
            System.IO.Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("{\n  \"listenn\": \"x\"\n}", "c.json line 2: unknown field 'listenn'")]
    [InlineData("{ \"etcd\": { \"endpoint\": \"x\" } }", "c.json line 1: unknown field 'etcd.endpoint'")]
    [InlineData("{ \"segments\": [ { \"sise\": 1 } ] }", "c.json line 1: unknown field 'segments[0].sise'")]
    [InlineData("{ \"grace\": \"5 weeks\" }",
        "c.json line 1: field 'grace': '5 weeks' is no duration; write 5s, 500ms, 2m or 1h")]
    [InlineData("{ \"weight\": \"heavy\" }",
        "c.json line 1: field 'weight': the value is of another type than the setting")]
    [InlineData("{ \"segments\": [ { \"size\": \"64MB\" } ] }",
        "c.json line 1: field 'segments[0].size': '64MB' is no size; write 64MiB, 1GiB or plain bytes")]
    [InlineData("null", "c.json: the file holds null and no settings")]
    public void A_wrong_file_is_one_line_that_names_file_and_field(string json, string message)
    {
        MeshError error = Parse(json).Error!;
        Assert.Equal("config", error.Stage);
        Assert.Equal(message, error.Message);
    }

    [Fact]
    public void Broken_json_is_one_line()
    {
        MeshError error = Parse("{ \"cluster\": ").Error!;
        Assert.StartsWith("c.json line 1: ", error.Message);
        Assert.DoesNotContain('\n', error.Message);
        Assert.DoesNotContain("BytePosition", error.Message);
    }

    [Fact]
    public void A_missing_file_is_named() =>
        Assert.Contains("/nonexistent/c.json", ServeOptionsLoader.ReadFile("/nonexistent/c.json").Error!.Message);

    [Fact]
    public void Environment_is_over_the_file_and_flags_are_over_both()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(
                file, """{ "cluster": "file", "nodeId": "file", "listen": "127.0.0.1:1", "weight": 7 }""");
            var environment = new Dictionary<string, string>
            {
                ["MOONCAKE_MESH_NODE_ID"] = "environment",
                ["MOONCAKE_MESH_LISTEN"] = "127.0.0.1:2",
            };
            (ServeOptions options, IReadOnlyList<MeshError> errors) = ServeOptionsLoader.Load(
                file, environment.GetValueOrDefault, setting => setting.Flag == "--listen" ? "127.0.0.1:3" : null);
            Assert.Empty(errors);
            Assert.Equal(("file", "environment", "127.0.0.1:3", 7),
                (options.Cluster, options.NodeId, options.Listen, options.Weight));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Every_wrong_text_is_reported_with_its_source()
    {
        (_, IReadOnlyList<MeshError> errors) = ServeOptionsLoader.Load(
            null,
            name => name == "MOONCAKE_MESH_GRACE" ? "soon" : null,
            setting => setting.Flag == "--weight" ? "heavy" : null);
        Assert.Equal(
            ["--weight: 'heavy' is no whole number",
                "MOONCAKE_MESH_GRACE: 'soon' is no duration; write 5s, 500ms, 2m or 1h"],
            errors.Select(error => error.Message));
    }

    [Fact]
    public void Segments_and_labels_are_read_from_text()
    {
        (ServeOptions options, _) = ServeOptionsLoader.Load(null, _ => null, setting => setting.Name switch
        {
            "segments" => "64MiB,location=cpu:1,preTouch=false;1GiB",
            "labels" => "zone=a,rack=r1",
            _ => null,
        });
        Assert.Equal([64L << 20, 1L << 30], options.Segments.Select(segment => segment.Size));
        Assert.Equal(("cpu:1", false), (options.Segments[0].Location, options.Segments[0].PreTouch));
        Assert.Equal("r1", options.Labels["rack"]);
    }

    [Theory]
    [InlineData("8GiB,location=cuda:1", 8L << 30, null)]
    [InlineData("free-2GiB,location=cuda:1", 0L, 2L << 30)]
    [InlineData("free - 512MiB,location=cuda:1", 0L, 512L << 20)]
    [InlineData("free,location=cuda:1", 0L, 0L)]
    public void A_segment_of_a_gpu_may_be_what_is_free_there(string text, long length, long? freeLess)
    {
        (ServeOptions options, IReadOnlyList<MeshError> errors) = ServeOptionsLoader.Load(null, _ => null,
            setting => setting.Name == "segments" ? text : null);
        Assert.Empty(errors);
        var segment = options.ToNodeOptions().Segments[0];
        Assert.Equal((length, freeLess, "cuda:1"), (segment.Length, segment.FreeLess, segment.Location));
        string json = JsonSerializer.Serialize(options, ServeOptionsJson.Default.ServeOptions);
        var again = JsonSerializer.Deserialize(json, ServeOptionsJson.Default.ServeOptions)!;
        Assert.Equal(options.Segments[0], again.Segments[0]);
    }

    [Theory]
    [InlineData("free+2GiB,location=cuda:0",
        "'free+2GiB' is no size; write 64MiB, or free-2GiB for memory of a device")]
    [InlineData("free-x,location=cuda:0", "'x' is no size; write 64MiB, 1GiB or plain bytes")]
    public void Other_sizes_are_refused(string text, string message)
    {
        (_, IReadOnlyList<MeshError> errors) = ServeOptionsLoader.Load(null, _ => null,
            setting => setting.Name == "segments" ? text : null);
        Assert.Equal($"--segments: {message}", Assert.Single(errors).Message);
    }

    [Fact]
    public void Memory_of_a_gpu_that_is_to_be_given_back_is_not_taken()
    {
        (ServeOptions options, _) = ServeOptionsLoader.Load(null, _ => null, setting => setting.Name switch
        {
            "segments" => "1GiB,location=cpu:0;8GiB,location=cuda:0;8GiB,location=cuda:1",
            "giveBack" => "cuda:1",
            _ => null,
        });
        Assert.Equal(["cpu:0", "cuda:0"], options.ToNodeOptions().Segments.Select(segment => segment.Location));
    }

    [Fact]
    public void Every_field_of_the_file_has_its_variable_and_flag()
    {
        string json = JsonSerializer.Serialize(new ServeOptions(), ServeOptionsJson.Default.ServeOptions);
        IEnumerable<string> fields = JsonDocument.Parse(json).RootElement.EnumerateObject()
            .SelectMany(field => field.Name is "etcd" or "rdma" or "tiers"
                ? field.Value.EnumerateObject().Select(inner => $"{field.Name}.{inner.Name}")
                : [field.Name]);
        Assert.Equal(fields.Order(), ServeSetting.All.Select(setting => setting.Name).Order());
    }

    [Fact]
    public void Names_of_variables_and_flags()
    {
        ServeSetting setting = ServeSetting.All.Single(setting => setting.Name == "etcd.passwordFile");
        Assert.Equal("MOONCAKE_MESH_ETCD_PASSWORD_FILE", setting.Variable);
        Assert.Equal("--etcd-password-file", setting.Flag);
    }

    [Fact]
    public void Variables_that_are_no_settings_are_found() =>
        Assert.Equal(["MOONCAKE_MESH_LISTN"], ServeOptionsLoader.UnknownVariables(
            ["PATH", "MOONCAKE_MESH_LISTEN", "MOONCAKE_MESH_LISTN", "MOONCAKE_MESH_TEST_ETCD"]));

    [Fact]
    public void Every_setting_is_documented()
    {
        string page = File.ReadAllText(Path.Combine(TestTree.Root, "docs/configuration.md"));
        Assert.All(ServeSetting.All, setting =>
        {
            Assert.Matches($@"(?m)^\| `{Regex.Escape(setting.Name)}` \|", page);
            Assert.Contains($"`{setting.Variable}`", page);
            Assert.Contains($"`{setting.Flag}`", page);
        });
    }

    private static MeshResult<ServeOptions> Parse(string json) =>
        ServeOptionsLoader.Parse(Encoding.UTF8.GetBytes(json), "c.json");
}
