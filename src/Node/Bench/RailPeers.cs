// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>The two sides of "bench rails", each in a network namespace of its own.</summary>
internal static class RailPeers
{
    internal const string ServerRole = "rail-server";
    internal const string ClientRole = "rail-client";

    /// <summary>Key of the object that the server has.</summary>
    internal const string Key = "rails";

    /// <summary>Its size, in bytes.</summary>
    internal const long ObjectBytes = 256L << 20;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Serves an object from addresses given as "IP,IP", and says "ENDPOINT CLUSTER"; ends with its input.
    /// </summary>
    /// <param name="rails">The addresses.</param>
    /// <param name="file">File that holds the object, up to <see cref="ObjectBytes"/>; null: it is made up.</param>
    /// <param name="input">Ends the serving.</param>
    /// <param name="say">Takes the line.</param>
    internal static async Task ServeAsync(string rails, string? file, TextReader input, Action<string> say)
    {
        await using BenchMesh mesh = await BenchMesh.StartAsync(null, 1, ObjectBytes + (64 << 20),
            "--listen", $"{rails.Split(',')[0]}:0", "--insecure", "true", "--rails", rails);
        using (var memory = new BenchMemory(file is null ? ObjectBytes : new FileInfo(file).Length))
        {
            if (file is null)
                MemoryBench.Fill(memory.Range);
            else
                Read(file, memory.Range);
            await using MeshClient client = await mesh.ConnectAsync();
            MeshResult<PutOutcome> put = await client.TryPutAsync(new MeshKey(Key), memory.Range,
                new PutOptions { Deadline = Limit });
            if (put.Error is { } error)
                throw new MeshException(error);
        }

        say($"{mesh.Endpoints[0]} {mesh.Cluster}");
        await input.ReadToEndAsync();
    }

    /// <summary>
    /// For each line "one KEY" or "all KEY" gets that object, over one rail or all of them, and says
    /// "MILLISECONDS BYTES SHA256", or "error ..."; ends with its input.
    /// </summary>
    internal static async Task GetAsync(string endpoint, string cluster, string rails, TextReader input,
        Action<string> say)
    {
        var options = new MeshClientOptions { Cluster = cluster, Nodes = [endpoint], SameHost = false };
        await using MeshClient one = await MeshClient.ConnectAsync(options);
        await using MeshClient all = await MeshClient.ConnectAsync(options with { Rails = rails.Split(',') });
        using var memory = new BenchMemory(ObjectBytes);
        say("ready");
        while (await input.ReadLineAsync() is { } line)
        {
            string[] words = line.Split(' ', 2);
            say(await GetAsync(words[0] == "all" ? all : one, new MeshKey(words[1]), memory.Range));
        }
    }

    private static async Task<string> GetAsync(MeshClient client, MeshKey key, NativeRange memory)
    {
        // What the last get left must not pass for what this one brings.
        BytesOf(memory).Clear();
        long start = Stopwatch.GetTimestamp();
        MeshResult<long> got = await client.TryGetAsync(key, memory, new GetOptions { Deadline = Limit });
        double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        return got.Error is { } error
            ? $"error {error.Code}: {error.Message}"
            : string.Create(CultureInfo.InvariantCulture, $"{milliseconds:0.000} {got.Value} ")
                + Convert.ToHexString(SHA256.HashData(BytesOf(memory with { Length = got.Value })));
    }

    private static void Read(string file, NativeRange memory)
    {
        using FileStream stream = File.OpenRead(file);
        stream.ReadExactly(BytesOf(memory));
    }

    private static unsafe Span<byte> BytesOf(NativeRange range) => new((void*)range.Address, (int)range.Length);
}
