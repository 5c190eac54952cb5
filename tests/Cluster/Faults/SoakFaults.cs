// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>What befalls a mesh in a soak: one fault at a time, after each of which it must settle again.</summary>
/// <param name="run">The mesh and its load.</param>
/// <param name="network">Its network, or null: then no link fails.</param>
/// <param name="random">Chooses.</param>
internal sealed class SoakFaults(FaultRun run, FaultNetwork? network, Random random)
{
    private const int WriterBytes = 8 << 20;
    private static readonly TimeSpan Ttl = ServeMesh.Ttl;
    private int _writers;

    /// <summary>Lets the next fault happen; what it was.</summary>
    public async Task<string> NextAsync()
    {
        string node = run.Mesh.Nodes[random.Next(run.Mesh.Nodes.Count)].NodeId;
        switch (random.Next(network is null ? 10 : 14))
        {
            case 0 or 1:
                await run.KillAndRestartAsync(node);
                return $"kill -9 of {node}";
            case 2:
                await run.RestartAsync(node);
                return $"SIGTERM to {node}";
            case 3 or 4:
                var pause = Ttl * (0.2 + (random.NextDouble() * 1.5));
                await run.WithoutAsync(node, () => SuspendAsync(node, pause));
                return $"{node} suspended for {pause.TotalSeconds:0.0} s";
            case 5:
                return await LoseEtcdAsync();
            case 6:
                await run.Mesh.Etcd.CtlAsync("put", "x", "y");
                await run.Mesh.Etcd.CompactAsync();
                await run.SettlesAsync();
                return "etcd compacted";
            case 7:
                await FillAsync();
                return "memory too small";
            case 8 or 9:
                return await WriterAsync();
            default:
                return await LinkAsync(node);
        }
    }

    private async Task SuspendAsync(string nodeId, TimeSpan time)
    {
        var node = run.Mesh.Node(nodeId);
        node.Suspend();
        await Task.Delay(time);
        node.Resume();
    }

    private async Task<string> LoseEtcdAsync()
    {
        var etcd = run.Mesh.Etcd;
        int kind = random.Next(4);
        var time = Ttl * random.NextDouble() * 2;
        switch (kind)
        {
            case 0:
                await etcd.StopAsync();
                await Task.Delay(time);
                await etcd.RestartAsync(wipe: false);
                break;
            case 1:
                etcd.Suspend();
                await Task.Delay(time);
                etcd.Resume();
                break;
            default:
                await etcd.RestartAsync(wipe: kind == 3);
                break;
        }

        await run.SettlesAsync();
        return kind switch
        {
            0 => $"etcd stopped for {time.TotalSeconds:0.0} s",
            1 => $"etcd suspended for {time.TotalSeconds:0.0} s",
            2 => "etcd killed and restarted",
            _ => "etcd wiped",
        };
    }

    /// <summary>Puts more than the mesh has room for, and takes it away again.</summary>
    private async Task FillAsync()
    {
        const int Bytes = 1 << 20;
        run.Load.LetEvict(true);
        int count = run.Mesh.Nodes.Count * 80;
        byte[] value = new byte[Bytes];
        for (int i = 0; i < count; i++)
        {
            await run.Mesh.Client.TryPutAsync(new MeshKey($"fill/{i}"), value,
                new PutOptions { Placement = Placement.Spread, Deadline = Ttl });
        }

        await run.Load.GoesOnAsync();
        var removed = await run.Mesh.Client.TryRemoveMatchingAsync("^fill/", TimeSpan.FromSeconds(30));
        Assert.True(removed.Succeeded, removed.Error?.ToString());
        await run.SettlesAsync();
        run.Load.LetEvict(false);
    }

    /// <summary>
    /// A process that puts is stopped in the middle, for good or until another one has put the same key: that put
    /// succeeds, and what it found or left is what the key has from then on.
    /// </summary>
    private async Task<string> WriterAsync()
    {
        bool resumes = random.Next(2) == 0;
        var key = new MeshKey($"writer/{_writers++}");
        string file = Path.GetTempFileName();
        byte[] old = Values.Of(key, 1, WriterBytes), mine = Values.Of(key, 2, 4096);
        try
        {
            await File.WriteAllBytesAsync(file, old);
            var start = MeshCommandLine.StartInfo("put", key.ToString(), file, "--cluster", ServeMesh.Cluster, "--node",
                run.Mesh.Nodes[0].Endpoint, "--deadline", "30s");
            using var writer = Process.Start(start)!;
            // A start takes some 200 ms, the put 10: any moment of either may be it.
            await Task.Delay(random.Next(150, 400));
            if (resumes)
                await HostCommand.RunAsync("kill", "-STOP", $"{writer.Id}");
            else
                writer.Kill();
            var put = await run.Mesh.Client.TryPutAsync(key, mine, new PutOptions { Deadline = Ttl });
            Assert.True(put.Succeeded, $"a put after a writer that was stopped: {put.Error}");
            byte[] expected = put.Value.Existed ? old : mine;
            Assert.True((await GetAsync(key)).AsSpan().SequenceEqual(expected), "another value than was acknowledged");
            if (resumes)
            {
                await HostCommand.RunAsync("kill", "-CONT", $"{writer.Id}");
                await writer.WaitForExitAsync(new CancellationTokenSource(TimeSpan.FromSeconds(60)).Token);
                Assert.True((await GetAsync(key)).AsSpan().SequenceEqual(expected), "the resumed writer changed it");
            }

            await run.Mesh.Client.TryRemoveAsync(key);
            return $"a writer {(resumes ? "paused and resumed" : "killed")}, "
                + (put.Value.Existed ? "after its put" : "before its put");
        }
        finally
        {
            File.Delete(file);
        }
    }

    private Task<byte[]> GetAsync(MeshKey key) => run.Mesh.Client.GetAsync(key, new GetOptions { Deadline = Ttl });

    private async Task<string> LinkAsync(string node)
    {
        var time = Ttl * (0.3 + random.NextDouble());
        int kind = random.Next(5);
        await run.WithoutAsync(node, async () =>
        {
            switch (kind)
            {
                case 0:
                    network!.SetAll(node, new LinkFault(Cut: true));
                    break;
                case 1:
                    network!.SetAll(node, new LinkFault(Loss: 0.05, Delay: TimeSpan.FromMilliseconds(2)));
                    break;
                case 2:
                    network!.SetAll(node, new LinkFault(Delay: TimeSpan.FromMilliseconds(30)));
                    break;
                case 3:
                    network!.Set(node, "etcd", new LinkFault(Cut: true));
                    break;
                default:
                    foreach (var other in run.Mesh.Nodes.Where(n => n.NodeId != node))
                        network!.Set(node, other.NodeId, new LinkFault(Cut: true));
                    break;
            }

            await Task.Delay(time);
            network!.SetAll(node, LinkFault.None);
        });
        string[] what = ["is cut off", "loses 5 % of its frames", "is 30 ms away", "is cut off from etcd",
            "is cut off from its peers"];
        return $"{node} {what[kind]} for {time.TotalSeconds:0.0} s";
    }
}
