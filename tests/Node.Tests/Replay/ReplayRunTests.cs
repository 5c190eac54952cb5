// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Replay;

namespace Mooncake.Mesh.Node.Tests.Replay;

public sealed class ReplayRunTests
{
    private readonly MemoryStore _store = new();

    [Fact]
    public async Task Hits_are_references_less_unique_blocks_even_within_a_request()
    {
        ReplayReport report = await RunAsync([1, 2, 3], [1, 2, 4, 4], [5, 2, 3], []);
        Assert.Equal((4, 10, 5), (report.Requests, report.Blocks, report.BlockHits));
        Assert.Equal(2, report.PrefixHits);
        Assert.Equal((5 * 64, 5 * 64, 0), (report.BytesPut, report.BytesGot, report.WrongBytes));
        Assert.True(report.Clean);
    }

    [Fact]
    public async Task Requests_in_flight_together_find_no_more_than_one_after_the_other()
    {
        ReplayReport report = await RunAsync(new ReplayOptions { BlockSize = 64, Concurrency = 4, Batch = 2 },
            [.. Enumerable.Range(0, 50).Select(i => new long[] { i % 5, i % 7, i % 11 })]);
        Assert.Equal((50, 150), (report.Requests, report.Blocks));
        Assert.InRange(report.BlockHits, 1, 150 - 11);
        Assert.Equal(11 * 64, report.BytesPut);
    }

    [Fact]
    public async Task A_wrong_byte_is_counted()
    {
        _store.Corrupt = 1;
        ReplayReport report = await RunAsync([1], [1]);
        Assert.Equal(1, report.WrongBytes);
        Assert.False(report.Clean);
    }

    [Fact]
    public async Task A_failed_match_looks_by_getting()
    {
        _store.MatchError = new MeshError(MeshErrorCode.Unavailable, "locate", "x");
        ReplayReport report = await RunAsync([1, 2], [1, 2]);
        Assert.Equal((2, 2), (report.BlockHits, report.GetErrors));
    }

    [Fact]
    public async Task A_get_that_times_out_is_not_clean()
    {
        _store.GetError = new MeshError(MeshErrorCode.DeadlineExceeded, "get", "x");
        ReplayReport report = await RunAsync([1], [1]);
        Assert.Equal((0, 1), (report.BlockHits, report.GetTimeouts));
        Assert.False(report.Clean);
    }

    [Fact]
    public async Task The_limit_ends_it() =>
        Assert.Equal(2, (await RunAsync(new ReplayOptions { BlockSize = 64, Limit = 2 }, [1], [2], [3])).Requests);

    [Fact]
    public async Task A_wrong_trace_ends_it_with_its_error()
    {
        static async IAsyncEnumerable<TraceRequest> Trace()
        {
            yield return new TraceRequest(1, 0, [1]);
            await Task.CompletedTask;
            throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument, "trace", "line 2"));
        }

        var run = new ReplayRun(_store, new ReplayOptions { BlockSize = 64 }, TimeProvider.System);
        await Assert.ThrowsAsync<MeshException>(() => run.RunAsync(Trace(), CancellationToken.None));
    }

    private Task<ReplayReport> RunAsync(params long[][] requests) =>
        RunAsync(new ReplayOptions { BlockSize = 64, Batch = 2 }, requests);

    private Task<ReplayReport> RunAsync(ReplayOptions options, params long[][] requests) =>
        new ReplayRun(_store, options, TimeProvider.System).RunAsync(
            requests.Select((ids, i) => new TraceRequest(i + 1, i, ids)).ToAsyncEnumerable(), CancellationToken.None);

    /// <summary>A mesh of unlimited memory, and its faults.</summary>
    private sealed class MemoryStore : IBlockStore
    {
        private readonly Dictionary<MeshKey, byte[]> _objects = [];

        internal int Corrupt { get; set; }

        internal MeshError? MatchError { get; set; }

        internal MeshError? GetError { get; set; }

        public Task<MeshResult<PrefixMatch>> MatchAsync(IReadOnlyList<MeshKey> keys, CancellationToken cancel)
        {
            lock (_objects)
            {
                if (MatchError is { } error)
                    return Task.FromResult<MeshResult<PrefixMatch>>(error);
                bool[] present = [.. keys.Select(_objects.ContainsKey)];
                int gap = Array.IndexOf(present, false);
                return Task.FromResult<MeshResult<PrefixMatch>>(new PrefixMatch(gap < 0 ? keys.Count : gap, present));
            }
        }

        public Task<IReadOnlyList<MeshResult<byte[]>>> GetAsync(
            IReadOnlyList<MeshKey> keys, CancellationToken cancel)
        {
            lock (_objects)
                return Task.FromResult<IReadOnlyList<MeshResult<byte[]>>>([.. keys.Select(Get)]);
        }

        public Task<IReadOnlyList<MeshResult<PutOutcome>>> PutAsync(
            IReadOnlyList<MeshKey> keys, IReadOnlyList<ReadOnlyMemory<byte>> values, CancellationToken cancel)
        {
            lock (_objects)
            {
                return Task.FromResult<IReadOnlyList<MeshResult<PutOutcome>>>([.. keys.Select((key, i) =>
                    (MeshResult<PutOutcome>)new PutOutcome(!_objects.TryAdd(key, values[i].ToArray()), default, 1))]);
            }
        }

        private MeshResult<byte[]> Get(MeshKey key)
        {
            if (GetError is { } error)
                return error;
            if (!_objects.TryGetValue(key, out byte[]? value))
                return new MeshError(MeshErrorCode.NotFound, "get", "x");
            byte[] copy = [.. value];
            copy[0] ^= (byte)Corrupt;
            return copy;
        }
    }
}
