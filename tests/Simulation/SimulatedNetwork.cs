// SPDX-License-Identifier: Apache-2.0

using System.IO.Hashing;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Simulation;

/// <summary>How the network behaves besides its cuts.</summary>
/// <param name="MostDelay">Longest way of a chunk of bytes; the shortest is a twentieth of it.</param>
/// <param name="LossPerMille">
/// How many chunks in a thousand are sent again, which takes <paramref name="Resend"/>.
/// </param>
/// <param name="Resend">How long it takes until a lost chunk is sent again.</param>
internal sealed record NetworkWeather(TimeSpan MostDelay, int LossPerMille, TimeSpan Resend);

/// <summary>
/// Byte streams between the processes of a simulated world. As with tcp, the bytes of one connection arrive in order;
/// those of two connections in any. A cut link, one way or both, holds bytes back until it is healed; a connection that
/// was cut for longer than <see cref="Patience"/> is broken by then. Every connection and chunk is in the event log.
/// </summary>
internal sealed class SimulatedNetwork(SimulatedWorld world, RandomSource random)
{
    /// <summary>How long a connection outlives a cut.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly SortedDictionary<string, SimulatedListener> _listeners = new(StringComparer.Ordinal);
    private readonly Dictionary<(int From, int To), long> _cuts = [];
    private readonly List<SimulatedConnection> _open = [];
    private int _lastPort = 7000;
    private int _lastConnection;

    /// <summary>Delay and loss.</summary>
    public NetworkWeather Weather { get; set; } =
        new(TimeSpan.FromMilliseconds(1), 0, TimeSpan.FromMilliseconds(200));

    /// <summary>Whether bytes from one machine reach the other.</summary>
    public bool IsOpen(int from, int to) => from == to || !_cuts.ContainsKey((from, to));

    /// <summary>When a link was last cut or healed, in ticks; 0: never.</summary>
    public Dictionary<(int From, int To), long> ChangedAt { get; } = [];

    /// <summary>Cuts one direction of a link.</summary>
    public void Cut(int from, int to)
    {
        if (from == to || !_cuts.TryAdd((from, to), world.Clock.Now))
            return;
        ChangedAt[(from, to)] = world.Clock.Now;
        world.Log($"cut {from}>{to}");
    }

    /// <summary>Heals one direction of a link: what was held back arrives, or finds its connection broken.</summary>
    public void Heal(int from, int to)
    {
        if (!_cuts.Remove((from, to), out long since))
            return;
        ChangedAt[(from, to)] = world.Clock.Now;
        world.Log($"heal {from}>{to}");
        bool tooLong = world.Clock.Now - since > Patience.Ticks;
        foreach (var connection in _open.ToArray())
            connection.Healed(from, to, tooLong);
    }

    /// <summary>Heals every link.</summary>
    public void HealAll()
    {
        foreach (var (from, to) in _cuts.Keys.Order().ToArray())
            Heal(from, to);
    }

    /// <summary>
    /// A process has ended: whoever it was connected to hears of it, unless its machine is gone as well.
    /// </summary>
    public void Ended(SimulatedProcess process, bool withoutReset)
    {
        foreach (string endpoint in _listeners.Where(l => l.Value.Process == process).Select(l => l.Key).ToArray())
        {
            if (!withoutReset)
                _listeners.Remove(endpoint);
        }

        foreach (var connection in _open.Where(c => c.Process == process).ToArray())
            connection.ProcessEnded(withoutReset);
    }

    public IPeerListener Listen(SimulatedProcess process, string endpoint)
    {
        string bound = endpoint.EndsWith(":0", StringComparison.Ordinal) ? $"{endpoint[..^1]}{++_lastPort}" : endpoint;
        var listener = new SimulatedListener(bound, process, () => _listeners.Remove(bound));
        if (!_listeners.TryAdd(bound, listener))
            throw new PeerNetworkException($"{bound} is in use");
        return listener;
    }

    public async Task<IPeerConnection> ConnectAsync(SimulatedProcess process, string endpoint, CancellationToken cancel)
    {
        await Task.Delay(NextDelay() * 2, process.Time, cancel);
        // A packet to where nothing answers is sent again and again; what stands at the port may change meanwhile.
        while (_listeners.TryGetValue(endpoint, out var silent) && !Reaches(process, silent))
            await Task.Delay(TimeSpan.FromMilliseconds(200), process.Time, cancel);
        if (!_listeners.TryGetValue(endpoint, out var listener))
            throw new PeerNetworkException($"{endpoint}: refused");
        int id = ++_lastConnection;
        world.Log($"connect {id} {process.Name} to {listener.Process.Name}");
        var (near, far) = SimulatedConnection.Pair(this, id, process, listener.Process, endpoint);
        _open.Add(near);
        _open.Add(far);
        listener.Offer(far);
        return near;
    }

    public TimeSpan NextDelay()
    {
        long most = Weather.MostDelay.Ticks;
        var delay = TimeSpan.FromTicks((most / 20) + random.Next((int)most));
        bool lost = Weather.LossPerMille > 0 && random.Next(1000) < Weather.LossPerMille;
        return lost ? delay + Weather.Resend : delay;
    }

    public void Set(SimulatedClock.Due due, TimeSpan delay) => world.Clock.Set(due, delay);

    public long Now => world.Clock.Now;

    public void LogSend(string name, ReadOnlySpan<byte> chunk) => world.LogBytes(name, chunk);

    public void Forget(SimulatedConnection connection) => _open.Remove(connection);

    private bool Reaches(SimulatedProcess process, SimulatedListener listener) => !listener.Process.IsDead
        && IsOpen(process.Machine, listener.Process.Machine) && IsOpen(listener.Process.Machine, process.Machine);
}

/// <summary>The network as one process uses it.</summary>
internal sealed class ProcessNetwork(SimulatedNetwork network, SimulatedProcess process) : IPeerNetwork
{
    public IPeerListener Listen(string endpoint) => network.Listen(process, endpoint);

    public Task<IPeerConnection> ConnectAsync(string endpoint, CancellationToken cancel) =>
        network.ConnectAsync(process, endpoint, cancel);
}

internal sealed class SimulatedListener(string endpoint, SimulatedProcess process, Action closed) : IPeerListener
{
    private readonly Queue<IPeerConnection> _offered = new();
    private TaskCompletionSource? _waiting;
    private bool _isClosed;

    public string Endpoint => endpoint;

    public SimulatedProcess Process => process;

    public void Offer(IPeerConnection connection)
    {
        _offered.Enqueue(connection);
        _waiting?.TrySetResult();
    }

    public async Task<IPeerConnection> AcceptAsync(CancellationToken cancel)
    {
        while (_offered.Count == 0)
        {
            cancel.ThrowIfCancellationRequested();
            if (_isClosed)
                throw new PeerNetworkException("closed");
            var waiting = _waiting = new TaskCompletionSource();
            using var registration = cancel.UnsafeRegister(
                static waiting => ((TaskCompletionSource)waiting!).TrySetResult(), waiting);
            await waiting.Task;
        }

        return _offered.Dequeue();
    }

    public ValueTask DisposeAsync()
    {
        _isClosed = true;
        closed();
        _waiting?.TrySetResult();
        return ValueTask.CompletedTask;
    }
}
