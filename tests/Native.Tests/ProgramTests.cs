// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Native.Tests;

/// <summary>Programs in C and C++ that call every function, against a real mesh.</summary>
[Collection(nameof(NativeMesh))]
public sealed class ProgramTests(NativeMesh mesh, ITestOutputHelper output)
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    internal static readonly Dictionary<string, string> Settings = new()
    {
        // The runtime keeps what it has to the end, in memory that the sanitizer does not look through.
        ["ASAN_OPTIONS"] = "detect_leaks=0",
        // Deadlines that a busy machine does not reach.
        ["MOONCAKE_MESH_TIMEOUT_MS"] = "60000",
        ["MOONCAKE_MESH_GET_TIMEOUT_MS"] = "60000",
        ["MOONCAKE_MESH_PUT_TIMEOUT_MS"] = "60000",
    };

    [Theory]
    [InlineData("store.c", "mooncake_store")]
    [InlineData("mesh.c", "mooncake_mesh")]
    [InlineData("engine.c", "transfer_engine")]
    public void Every_function_does_what_its_header_says(string source, string link) =>
        MustPass(mesh.Clib.Build(source, link), mesh.Nodes[0], mesh.Etcd);

    [Theory]
    [InlineData("store.c")]
    [InlineData("mesh.c")]
    [InlineData("engine.c")]
    public void A_host_built_with_sanitizers_finds_nothing(string source) =>
        MustPass(mesh.Clib.Build(source, "mooncake_mesh", "-fsanitize=address,undefined"), mesh.Nodes[1], mesh.Etcd);

    [Fact]
    public void A_program_in_cpp_links_and_runs() =>
        MustPass(mesh.Clib.Build("plus.cc", "transfer_engine"), mesh.Nodes[0]);

    /// <summary>Larger by hand: MOONCAKE_MESH_NATIVE_LARGEST=1073741824.</summary>
    [Fact]
    public void Two_processes_move_bytes_both_ways_and_outlive_the_death_of_one() =>
        MustPass(mesh.Clib.Build("peers.c", "transfer_engine"),
            Environment.GetEnvironmentVariable("MOONCAKE_MESH_NATIVE_LARGEST") ?? $"{32 << 20}");

    [Fact]
    public void A_copy_of_the_library_refuses_beside_one_in_use_and_closing_unloads_nothing()
    {
        string copy = Path.Combine(mesh.Clib.Folder, "copied.so");
        File.Copy(mesh.Clib.Library, copy, overwrite: true);
        MustPass(mesh.Clib.Build("loaded.c", "mooncake_mesh", "-Wl,--as-needed"), mesh.Clib.Library, copy,
            mesh.Nodes[0]);
    }

    [Theory]
    [InlineData("fork")]
    [InlineData("fork-first")]
    [InlineData("signals")]
    [InlineData("threads")]
    [InlineData("closing")]
    [InlineData("writers")]
    [InlineData("engine-threads")]
    public void The_library_is_a_good_guest(string mode) =>
        MustPass(mesh.Clib.Build("guest.c"), mode, mesh.Nodes[0]);

    /// <summary>More by hand: MOONCAKE_MESH_NATIVE_CYCLES=100000.</summary>
    [Theory]
    [InlineData("stores", 1)]
    [InlineData("embedded", 4)]
    [InlineData("engines", 3)]
    [InlineData("calls", 20)]
    [InlineData("transfers", 2000)]
    public void Nothing_grows_with_use(string mode, int times)
    {
        int cycles = int.TryParse(Environment.GetEnvironmentVariable("MOONCAKE_MESH_NATIVE_CYCLES"), out int many)
            ? many
            : 300;
        // By default the collector lets as much gather as the processor's cache holds, which hides what grows.
        Dictionary<string, string> settings = new(Settings) { ["DOTNET_GCgen0size"] = "0x100000" };
        var ended = Command.Run(TimeSpan.FromHours(2), settings, mesh.Clib.Build("guest.c"), mode, mesh.Nodes[0],
            $"{Math.Min(cycles * times, 2_000_000)}");
        output.WriteLine(ended.Output);
        Assert.True(ended.Code == 0, ended.Output);
    }

    [Fact]
    public async Task Calls_end_and_the_process_lives_when_a_node_is_killed_in_the_midst_of_them()
    {
        var victim = await mesh.StartNodeAsync("victim", "64MiB");
        var start = new System.Diagnostics.ProcessStartInfo(mesh.Clib.Build("guest.c"), ["killed", victim.Endpoint])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var program = System.Diagnostics.Process.Start(start)!;
        var errors = program.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string? ready = await program.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        await Task.Delay(300, TestContext.Current.CancellationToken);
        victim.Kill();
        string rest = await program.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Assert.True(program.WaitForExit(Limit), "no end");
        Assert.True(ready == "ready" && program.ExitCode == 0 && rest == "ok\n",
            $"{ready} {rest} {program.ExitCode} {await errors}");
    }

    [Fact]
    public async Task A_call_that_waits_for_a_node_that_stands_still_comes_back_to_the_host()
    {
        var still = await mesh.StartNodeAsync("still", "64MiB");
        MustPass(mesh.Clib.Build("guest.c"), "stopped", still.Endpoint, $"{still.Process.Id}");
        still.Kill();
    }

    private static void MustPass(string program, params string[] arguments)
    {
        var ended = Command.Run(Limit, Settings, program, arguments);
        Assert.True(ended.Code == 0, $"exit code {ended.Code}\n{ended.Output}");
        // Nothing of ours may reach a host's standard output.
        Assert.Equal("ok\n", ended.Standard);
    }
}
