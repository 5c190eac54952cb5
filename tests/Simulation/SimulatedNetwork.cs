// SPDX-License-Identifier: Apache-2.0

using System.IO.Hashing;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// A network of byte streams on simulated time: each chunk arrives, in order, after a delay drawn from the seed. Every
/// connection and chunk is an entry of the event log.
/// </summary>
internal sealed class SimulatedNetwork(TimeProvider time, RandomSource random, Action<string> log) : IPeerNetwork
{
    private const int MostMicroseconds = 900;
    private readonly Dictionary<string, SimulatedListener> _listeners = [];
    private int _lastPort = 7000;
    private int _lastConnection;

    public TimeProvider Time => time;

    public IPeerListener Listen(string endpoint)
    {
        string bound = endpoint.EndsWith(":0", StringComparison.Ordinal)
            ? endpoint[..^1] + (++_lastPort).ToString()
            : endpoint;
        var listener = new SimulatedListener(bound, () => _listeners.Remove(bound));
        if (!_listeners.TryAdd(bound, listener))
            throw new PeerNetworkException($"{bound} is in use");
        return listener;
    }

    public async Task<IPeerConnection> ConnectAsync(string endpoint, CancellationToken cancel)
    {
        await Task.Delay(NextDelay(), time, cancel);
        if (!_listeners.TryGetValue(endpoint, out var listener))
            throw new PeerNetworkException($"{endpoint}: refused");
        int id = ++_lastConnection;
        log($"connect {id} to {endpoint}");
        var (near, far) = SimulatedConnection.Pair(this, id, endpoint, log);
        listener.Offer(far);
        return near;
    }

    public TimeSpan NextDelay() => TimeSpan.FromMicroseconds(50 + random.Next(MostMicroseconds));
}

internal sealed class SimulatedListener(string endpoint, Action closed) : IPeerListener
{
    private readonly Queue<IPeerConnection> _offered = new();
    private TaskCompletionSource? _waiting;
    private bool _isClosed;

    public string Endpoint => endpoint;

    public void Offer(IPeerConnection connection)
    {
        _offered.Enqueue(connection);
        _waiting?.TrySetResult();
    }

    public async Task<IPeerConnection> AcceptAsync(CancellationToken cancel)
    {
        while (_offered.Count == 0)
        {
            if (_isClosed)
                throw new PeerNetworkException("closed");
            _waiting = new TaskCompletionSource();
            await _waiting.Task.WaitAsync(cancel);
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

internal sealed class SimulatedConnection : IPeerConnection
{
    private readonly SimulatedNetwork _network;
    private readonly string _name;
    private readonly Action<string> _log;
    private readonly Queue<byte[]> _arrived = new();
    private SimulatedConnection? _other;
    private TaskCompletionSource? _waiting;
    private byte[] _rest = [];
    private TimeSpan _lastDelay;
    private long _lastSend;
    private bool _closed;
    private bool _ended;

    private SimulatedConnection(SimulatedNetwork network, string name, string remote, Action<string> log)
    {
        _network = network;
        _name = name;
        _log = log;
        RemoteEndpoint = remote;
    }

    public string RemoteEndpoint { get; }

    public static (SimulatedConnection Near, SimulatedConnection Far) Pair(SimulatedNetwork network, int id,
        string endpoint, Action<string> log)
    {
        var near = new SimulatedConnection(network, $"{id}>", endpoint, log);
        var far = new SimulatedConnection(network, $"{id}<", $"client-{id}", log);
        near._other = far;
        far._other = near;
        return (near, far);
    }

    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        if (_closed)
            throw new PeerNetworkException("closed");
        byte[] copy = bytes.ToArray();
        _log($"send {_name} {copy.Length} {XxHash3.HashToUInt64(copy):x16}");
        After(() => _other!.Arrive(copy));
        return ValueTask.CompletedTask;
    }

    public async ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        while (_rest.Length == 0 && !_arrived.TryDequeue(out _rest!))
        {
            _rest = [];
            if (_closed)
                throw new PeerNetworkException("closed");
            if (_ended)
                return 0;
            _waiting = new TaskCompletionSource();
            await _waiting.Task.WaitAsync(cancel);
        }

        int taken = Math.Min(buffer.Length, _rest.Length);
        _rest.AsMemory(0, taken).CopyTo(buffer);
        _rest = _rest[taken..];
        return taken;
    }

    public void Abort()
    {
        if (_closed)
            return;
        _closed = true;
        _log($"close {_name}");
        _waiting?.TrySetResult();
        After(() => _other!.EndOfStream());
    }

    public ValueTask DisposeAsync()
    {
        Abort();
        return ValueTask.CompletedTask;
    }

    private void Arrive(byte[] bytes)
    {
        _arrived.Enqueue(bytes);
        _waiting?.TrySetResult();
    }

    private void EndOfStream()
    {
        _ended = true;
        _waiting?.TrySetResult();
    }

    /// <summary>Runs <paramref name="arrival"/> after a drawn delay, never before what was sent earlier.</summary>
    private void After(Action arrival)
    {
        var earliest = _lastDelay - _network.Time.GetElapsedTime(_lastSend);
        var delay = _network.NextDelay();
        delay = delay > earliest ? delay : earliest;
        _lastSend = _network.Time.GetTimestamp();
        _lastDelay = delay;
        ITimer? timer = null;
        timer = _network.Time.CreateTimer(_ =>
        {
            timer?.Dispose();
            arrival();
        }, null, delay, Timeout.InfiniteTimeSpan);
    }
}
