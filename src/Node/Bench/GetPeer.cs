// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// Blocking gets from C#, beside which tests/Python/bench.py puts the same ones from Python: one thread that waits for
/// each call as a caller without "await" does.
/// </summary>
internal static class GetPeer
{
    internal const string Role = "get";

    /// <summary>
    /// Connects to a mesh and says "ready"; then, to each line with a number, the median time of as many gets of a key,
    /// in nanoseconds. Ends with its input.
    /// </summary>
    internal static async Task ServeAsync(string node, string key, string size, TextReader input, Action<string> say)
    {
        await using MeshClient client = await MeshClient.ConnectAsync(new MeshClientOptions { Nodes = [node] });
        using var memory = new BenchMemory(long.Parse(size, CultureInfo.InvariantCulture));
        var thread = new Thread(() =>
        {
            say("ready");
            while (input.ReadLine() is { } line)
            {
                double median = Median(client, new MeshKey(key), memory, int.Parse(line, CultureInfo.InvariantCulture));
                say(string.Create(CultureInfo.InvariantCulture, $"{median:0}"));
            }
        })
        { IsBackground = true };
        thread.Start();
        thread.Join();
    }

    private static double Median(MeshClient client, MeshKey key, BenchMemory memory, int calls)
    {
        var spent = new double[calls];
        for (int i = 0; i < calls; i++)
        {
            long start = Stopwatch.GetTimestamp();
            MeshResult<long> got = client.TryGetAsync(key, memory.Range).GetAwaiter().GetResult();
            spent[i] = Stopwatch.GetElapsedTime(start).TotalNanoseconds;
            if (got.Error is { } error)
                throw new MeshException(error);
        }

        return Alternating.Median(spent);
    }
}
