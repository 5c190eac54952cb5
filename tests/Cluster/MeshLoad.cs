// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Cluster;

/// <summary>
/// What an engine does all the time: a loop that looks for known keys and gets some of them, and a loop that puts new
/// ones. Every answer is checked; every call has the default deadline of the client, and is timed.
/// </summary>
internal sealed class MeshLoad(MeshClient client, string prefix) : IAsyncDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);
    private const int MostTold = 20;
    private const int Batch = 100;
    private const int RecentKeys = 200;

    private readonly CancellationTokenSource _stop = new();
    private readonly List<string> _failures = [];
    private readonly List<MeshKey> _putSinceMark = [];
    private MeshKey[] _live = [];
    private Task _loops = Task.CompletedTask;
    private volatile bool _marked;
    private long _longestTicks;
    private int _failed;
    private int _found;
    private int _gets;
    private int _puts;

    /// <summary>Keys found, values got, values put.</summary>
    public (int Found, int Gets, int Puts) Counts => (Volatile.Read(ref _found), _gets, Volatile.Read(ref _puts));

    /// <summary>The longest call so far.</summary>
    public TimeSpan Longest => TimeSpan.FromTicks(Volatile.Read(ref _longestTicks));

    /// <summary>The keys that must be found from now on, whatever happens.</summary>
    public void Expect(IEnumerable<MeshKey> live) => Volatile.Write(ref _live, [.. live]);

    /// <summary>From now on every acknowledged put must be found as well: none of their holders will die.</summary>
    public void ExpectPutsFromNowOn() => _marked = true;

    public void Start() => _loops = Task.WhenAll(Task.Run(ReadAsync), Task.Run(WriteAsync));

    /// <summary>Waits until both loops have done something again.</summary>
    public async Task GoesOnAsync()
    {
        var (found, _, puts) = Counts;
        await Eventually.True(() => _failed > 0 || (Counts.Found > found && Counts.Puts > puts),
            TimeSpan.FromSeconds(30), () => "the load stands still");
    }

    /// <summary>Ends both loops, then looks once more for every key; asserts that nothing ever failed.</summary>
    public async Task EndsWellAsync(ServeMesh mesh, string what)
    {
        await _stop.CancelAsync();
        await _loops;
        MeshKey[] put;
        lock (_putSinceMark)
            put = [.. _putSinceMark];
        foreach (var chunk in put.Concat(_live).Chunk(Batch))
            await LookAsync(chunk);
        foreach (var key in put.TakeLast(RecentKeys))
            await GetAsync(key);
        Figures.Print($"{what}: {_found} keys found, {_gets} gets, {_puts} puts, failed {_failed}, longest call " +
            $"{Longest.TotalMilliseconds:0} ms");
        if (_failed == 0)
            return;
        string failures;
        lock (_failures)
            failures = string.Join('\n', _failures);
        Assert.Fail($"{what}: {_failed} failed\n{failures}\n{await mesh.DescribeAsync()}");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _loops;
        _stop.Dispose();
    }

    private async Task ReadAsync()
    {
        var random = new Random(1);
        while (!_stop.IsCancellationRequested)
        {
            foreach (var chunk in Volatile.Read(ref _live).Chunk(Batch))
            {
                await LookAsync(chunk);
                await GetAsync(chunk[random.Next(chunk.Length)]);
                // A pace: readers without one would take the processors from the nodes.
                await Task.Delay(1);
                if (_stop.IsCancellationRequested)
                    return;
            }

            MeshKey[] recent;
            lock (_putSinceMark)
                recent = [.. _putSinceMark.TakeLast(RecentKeys)];
            if (recent.Length > 0)
                await LookAsync(recent);
        }
    }

    private async Task WriteAsync()
    {
        for (int i = 0; !_stop.IsCancellationRequested; i++)
        {
            var key = new MeshKey($"{prefix}-{i}");
            bool marked = _marked;
            var put = await TimedAsync(client.TryPutAsync(key, Content.Of(key), ServeMesh.Spread), key);
            if (put.Succeeded)
            {
                Interlocked.Increment(ref _puts);
                if (marked)
                {
                    lock (_putSinceMark)
                        _putSinceMark.Add(key);
                }
            }
            else
            {
                Fail($"put {key}: {put.Error}");
            }

            // A pace, so that the mesh never fills.
            await Task.Delay(1);
        }
    }

    private async Task LookAsync(MeshKey[] keys)
    {
        var found = await TimedAsync(client.TryExistsBatchAsync(keys), keys[0]);
        for (int i = 0; i < keys.Length; i++)
        {
            if (found[i] is { Succeeded: true, Value: true })
                Interlocked.Increment(ref _found);
            else
                Fail($"exists {keys[i]}: {found[i].Error?.ToString() ?? "absent"}");
        }
    }

    private async Task GetAsync(MeshKey key)
    {
        var got = await TimedAsync(client.TryGetAsync(key), key);
        Interlocked.Increment(ref _gets);
        if (!got.Succeeded)
            Fail($"get {key}: {got.Error}");
        else if (!got.Value.AsSpan().SequenceEqual(Content.Of(key)))
            Fail($"get {key}: WRONG BYTES");
    }

    private async Task<T> TimedAsync<T>(Task<T> call, MeshKey key)
    {
        long start = TimeProvider.System.GetTimestamp();
        var result = await call;
        var took = TimeProvider.System.GetElapsedTime(start);
        InterlockedMax(took.Ticks);
        // A second for the machine itself: this process and eight others share its processors.
        if (took > Deadline + TimeSpan.FromSeconds(1))
            Fail($"a call for {key} took {took.TotalMilliseconds:0} ms");
        return result;
    }

    private void InterlockedMax(long ticks)
    {
        long seen = Volatile.Read(ref _longestTicks);
        while (ticks > seen)
        {
            long before = Interlocked.CompareExchange(ref _longestTicks, ticks, seen);
            if (before == seen)
                return;
            seen = before;
        }
    }

    private void Fail(string what)
    {
        lock (_failures)
        {
            _failed++;
            if (_failures.Count < MostTold)
                _failures.Add($"{TimeProvider.System.GetUtcNow():HH:mm:ss.fff} {what}");
        }
    }
}
