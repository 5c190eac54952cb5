// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Globalization;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;
using Endpoint = Mooncake.Mesh.Verbs.Transfers.Endpoint;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>What "bench transfer --transport rdma" is told.</summary>
/// <param name="Devices">Names of the devices of this side, separated by commas; empty: all.</param>
/// <param name="TargetDevices">Those of the other side.</param>
/// <param name="BlockBytes">Bytes of one request.</param>
/// <param name="Batch">Requests that are submitted together.</param>
/// <param name="Threads">Batches under way at a time.</param>
/// <param name="Operation">"read", "write" or "both".</param>
/// <param name="Iterations">Requests of one run.</param>
/// <param name="Perftest">Whether ib_read_bw and ib_write_bw are run by turns, as the limit.</param>
internal sealed record RdmaBenchOptions(string Devices, string TargetDevices, long BlockBytes, int Batch, int Threads,
    string Operation, int Iterations, bool Perftest);

/// <summary>"bench transfer --transport rdma": requests to another process's memory, by the cards alone.</summary>
internal sealed class RdmaBench : IConnector, IDisposable
{
    /// <summary>Runs of each figure, by turns with those of perftest.</summary>
    private const int Rounds = 10;

    private readonly RdmaBenchOptions _options;
    private readonly RdmaEngine _engine;
    private readonly PeerProcess _target;
    private readonly RemoteMemory _remote;
    private readonly BenchMemory _memory;
    private readonly SemaphoreSlim _asking = new(1);
    private LocalMemory? _local;
    private RdmaPeer? _peer;

    private RdmaBench(RdmaBenchOptions options, RdmaEngine engine, PeerProcess target, string told)
    {
        string[] words = told.Split(' ');
        _options = options;
        _engine = engine;
        _target = target;
        RemoteCards = int.Parse(words[3], CultureInfo.InvariantCulture);
        _remote = new RemoteMemory(new RemoteRegion(ulong.Parse(words[0], CultureInfo.InvariantCulture),
            long.Parse(words[1], CultureInfo.InvariantCulture), long.Parse(words[2], CultureInfo.InvariantCulture)),
            firstKey: 0);
        _memory = new BenchMemory(BytesOf(options));
    }

    /// <inheritdoc/>
    public int RemoteCards { get; }

    /// <summary>Runs it.</summary>
    /// <exception cref="MeshException">No device, or the other side did not start.</exception>
    internal static async Task RunAsync(BenchReport report, RdmaBenchOptions options, CancellationToken cancel)
    {
        RdmaEngine engine = RdmaTarget.Open(options.Devices, new RdmaOptions()).Value;
        try
        {
            var (target, told) = await PeerProcess.StartAsync(BenchPeers.Command, RdmaTarget.Role,
                options.TargetDevices.Length == 0 ? "," : options.TargetDevices,
                BytesOf(options).ToString(CultureInfo.InvariantCulture));
            using var bench = new RdmaBench(options, engine, target, told);
            await bench.RegisterAsync();
            foreach (WorkKind kind in (WorkKind[])[WorkKind.Write, WorkKind.Read])
            {
                if (options.Operation == "both" || options.Operation == Name(kind))
                    await bench.MeasureAsync(report, kind, cancel);
            }
        }
        finally
        {
            await engine.DisposeAsync();
        }
    }

    /// <inheritdoc/>
    public async Task<Endpoint?> ConnectAsync(RdmaPeer peer, int card, int remoteCard, Attempt attempt)
    {
        if (_engine.TryCreate(peer, card, remoteCard) is not var (endpoint, own))
            return null;
        await _asking.WaitAsync();
        try
        {
            string[] words = (await _target.AskAsync($"{card} {remoteCard} {RdmaTarget.TextOf(own)}",
                CancellationToken.None)).Split(' ');
            if (!attempt.TryConnect(() => _engine.Connect(endpoint, own, RdmaTarget.EndOf(words))))
            {
                endpoint.Life.Destroy(endpoint);
                return null;
            }

            endpoint.RemoteKeys = [.. words.Skip(6).Select(word => uint.Parse(word, CultureInfo.InvariantCulture))];
            return endpoint;
        }
        finally
        {
            _asking.Release();
        }
    }

    public void Dispose()
    {
        _target.Dispose();
        if (_peer is not null)
            _engine.RemoveAsync(_peer).GetAwaiter().GetResult();
        if (_local is not null)
            _engine.Release(_local);
        _memory.Dispose();
        _asking.Dispose();
    }

    private static string Name(WorkKind kind) => kind == WorkKind.Write ? "write" : "read";

    private static long BytesOf(RdmaBenchOptions options) => options.BlockBytes * options.Batch * options.Threads;

    private async Task RegisterAsync()
    {
        _local = (await _engine.RegisterAsync(_memory.Range, MemoryAccess.LocalWrite)).Value;
        _peer = _engine.AddPeer(this);
    }

    private async Task MeasureAsync(BenchReport report, WorkKind kind, CancellationToken cancel)
    {
        string name = string.Create(CultureInfo.InvariantCulture,
            $"rdma.{Name(kind)}.{_options.BlockBytes >> 10}KiB.x{_options.Batch}.t{_options.Threads}");
        if (_options.Perftest)
        {
            var perftest = new Perftest(_options, kind, cancel);
            report.Add(BenchRow.Of(name, "MB/s", await Alternating.RunAsync(() => RunAsync(kind), perftest.RunAsync,
                Rounds)));
            return;
        }

        await RunAsync(kind);
        double[] figures = new double[Alternating.Rounds];
        for (int i = 0; i < figures.Length; i++)
            figures[i] = await RunAsync(kind);
        report.Add(new BenchRow(name, Alternating.Median(figures), "MB/s"));
    }

    /// <summary>One run; MB/s, of 10^6 bytes.</summary>
    private async Task<double> RunAsync(WorkKind kind)
    {
        int perThread = Math.Max(1, _options.Iterations / _options.Batch / _options.Threads);
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, _options.Threads).Select(thread =>
            Task.Run(() => SubmitAsync(kind, thread, perThread))));
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return _options.BlockBytes * _options.Batch * perThread * _options.Threads / seconds / 1e6;
    }

    private async Task SubmitAsync(WorkKind kind, int thread, int batches)
    {
        var requests = new RdmaRequest[_options.Batch];
        for (int i = 0; i < requests.Length; i++)
        {
            long at = ((thread * _options.Batch) + i) * _options.BlockBytes;
            requests[i] = new RdmaRequest(kind, _memory.Range.Address + (nint)at, _local!, _remote, at,
                _options.BlockBytes);
        }

        for (int i = 0; i < batches; i++)
        {
            var outcome = await _peer!.RunAsync(new RdmaBatch(requests, _engine.Options.SliceBytes));
            if (outcome != TransferOutcome.Done)
            {
                throw new MeshException(new MeshError(MeshErrorCode.Unavailable, "bench",
                    $"the other side was not reached: {outcome}"));
            }
        }
    }
}
