// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>
/// The network of a <see cref="NodeWorld"/>: byte streams without loss that can be cut per direction. What is sent
/// into a cut waits and arrives when it is healed, as with TCP; a connection begun in a cut ends by its deadline.
/// </summary>
internal sealed class WorldNetwork(TimeProvider time)
{
    private readonly Dictionary<string, WorldListener> _listeners = [];
    private readonly HashSet<(string From, string To)> _cuts = [];
    private readonly List<WorldConnection> _connections = [];
    private int _port = 7000;

    /// <summary>Called after one node has sent something to another.</summary>
    public Action<string, string>? Sent { get; set; }

    /// <summary>The network as one node sees it.</summary>
    public IPeerNetwork Of(string nodeId) => new Side(this, nodeId);

    /// <summary>Nothing gets from one node to another any more.</summary>
    public void Cut(string from, string to) => _cuts.Add((from, to));

    /// <summary>What this node sends or is sent comes so much later, from now on.</summary>
    public (string NodeId, TimeSpan By)? Slow { get; set; }

    /// <summary>Everything does again, and what has waited arrives.</summary>
    public void Heal()
    {
        _cuts.Clear();
        foreach (var connection in _connections.ToArray())
            connection.Flush();
    }

    /// <summary>A process is gone: its port refuses and its connections break.</summary>
    public void Kill(string nodeId)
    {
        foreach (var listener in _listeners.Values.Where(l => l.NodeId == nodeId).ToArray())
            _listeners.Remove(listener.Endpoint);
        Break(nodeId);
    }

    /// <summary>The connections of a node break; it can be connected to again.</summary>
    public void Break(string nodeId)
    {
        foreach (var connection in _connections.Where(c => c.Owner == nodeId).ToArray())
            connection.Abort();
    }

    private TimeSpan DelayOf(string one, string other) =>
        Slow is { } slow && (slow.NodeId == one || slow.NodeId == other) ? slow.By : TimeSpan.Zero;

    private bool IsCut(string from, string to) => _cuts.Contains((from, to));

    private async Task<IPeerConnection> ConnectAsync(string from, string endpoint, CancellationToken cancel)
    {
        await Task.Delay(TimeSpan.FromMicroseconds(100), time, cancel);
        if (!_listeners.TryGetValue(endpoint, out var listener))
            throw new PeerNetworkException($"{endpoint}: refused");
        if (IsCut(from, listener.NodeId) || IsCut(listener.NodeId, from))
            await Task.Delay(Timeout.InfiniteTimeSpan, time, cancel);
        var near = new WorldConnection(this, time, from, listener.NodeId);
        var far = new WorldConnection(this, time, listener.NodeId, from) { Other = near };
        near.Other = far;
        _connections.AddRange([near, far]);
        listener.Offer(far);
        return near;
    }

    private sealed class Side(WorldNetwork network, string nodeId) : IPeerNetwork
    {
        public Task<IPeerConnection> ConnectAsync(string endpoint, CancellationToken cancel) =>
            network.ConnectAsync(nodeId, endpoint, cancel);

        public IPeerListener Listen(string endpoint)
        {
            bool any = endpoint.EndsWith(":0", StringComparison.Ordinal);
            var listener = new WorldListener(network, nodeId, any ? $"127.0.0.1:{++network._port}" : endpoint);
            network._listeners.Add(listener.Endpoint, listener);
            return listener;
        }
    }

    private sealed class WorldListener(WorldNetwork network, string nodeId, string endpoint) : IPeerListener
    {
        private readonly Queue<IPeerConnection> _offered = new();
        private TaskCompletionSource? _waiting;
        private bool _closed;

        public string NodeId => nodeId;

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
                if (_closed)
                    throw new PeerNetworkException("closed");
                var waiting = _waiting = NewWait(cancel);
                await waiting.Task;
            }

            return _offered.Dequeue();
        }

        public ValueTask DisposeAsync()
        {
            _closed = true;
            network._listeners.Remove(endpoint);
            _waiting?.TrySetResult();
            return ValueTask.CompletedTask;
        }
    }

    private sealed class WorldConnection(WorldNetwork network, TimeProvider time, string owner, string peer)
        : IPeerConnection
    {
        private readonly Queue<(byte[] Bytes, long Sent, TimeSpan Delay)> _held = new();
        private readonly Queue<byte[]> _arrived = new();
        private byte[] _rest = [];
        private TaskCompletionSource? _waiting;
        private bool _closed;
        private bool _ended;

        public WorldConnection? Other { get; set; }

        public string Owner => owner;

        public string RemoteEndpoint => peer;

        public ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
        {
            if (_closed)
                throw new PeerNetworkException("closed");
            var delay = network.DelayOf(owner, peer);
            _held.Enqueue((bytes.ToArray(), time.GetTimestamp(), delay));
            Flush();
            if (delay > TimeSpan.Zero)
                _ = FlushAfterAsync(delay);
            network.Sent?.Invoke(owner, peer);
            return ValueTask.CompletedTask;
        }

        private async Task FlushAfterAsync(TimeSpan delay)
        {
            await Task.Delay(delay, time);
            Flush();
        }

        /// <summary>Hands over what has been sent long enough ago, unless there is a cut.</summary>
        public void Flush()
        {
            if (network.IsCut(owner, peer))
                return;
            while (_held.TryPeek(out var next) && time.GetElapsedTime(next.Sent) >= next.Delay)
                Other!._arrived.Enqueue(_held.Dequeue().Bytes);
            Other!._ended |= _closed;
            Other._waiting?.TrySetResult();
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
                var waiting = _waiting = NewWait(cancel);
                await waiting.Task;
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
            _waiting?.TrySetResult();
            Flush();
            if (Other!._closed)
                network._connections.RemoveAll(c => c == this || c == Other);
        }

        public ValueTask DisposeAsync()
        {
            Abort();
            return ValueTask.CompletedTask;
        }
    }

    private static TaskCompletionSource NewWait(CancellationToken cancel)
    {
        var waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        cancel.UnsafeRegister(state => ((TaskCompletionSource)state!).TrySetCanceled(cancel), waiting);
        return waiting;
    }
}
