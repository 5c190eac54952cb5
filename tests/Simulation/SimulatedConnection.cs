// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Simulation;

/// <summary>One end of a connection between two processes of a simulated world.</summary>
internal sealed class SimulatedConnection : IPeerConnection
{
    private readonly SimulatedNetwork _network;
    private readonly string _name;
    private readonly Queue<byte[]> _arrived = new();
    private readonly Queue<byte[]?> _heldBack = new();
    private SimulatedConnection _other = null!;
    private TaskCompletionSource? _waiting;
    private byte[] _rest = [];
    private int _restAt;
    private long _lastArrival;
    private bool _closed;
    private bool _ended;

    private SimulatedConnection(SimulatedNetwork network, string name, string remote, SimulatedProcess process)
    {
        _network = network;
        _name = name;
        RemoteEndpoint = remote;
        Process = process;
    }

    public string RemoteEndpoint { get; }

    /// <summary>Whose end this is.</summary>
    public SimulatedProcess Process { get; }

    private bool IsCut => !_network.IsOpen(Process.Machine, _other.Process.Machine);

    public static (SimulatedConnection Near, SimulatedConnection Far) Pair(SimulatedNetwork network, int id,
        SimulatedProcess from, SimulatedProcess to, string endpoint)
    {
        var near = new SimulatedConnection(network, $"{id}>", endpoint, from);
        var far = new SimulatedConnection(network, $"{id}<", $"client-{id}", to);
        near._other = far;
        far._other = near;
        return (near, far);
    }

    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        if (_closed)
            throw new PeerNetworkException("closed");
        _network.LogSend(_name, bytes.Span);
        Pass(bytes.ToArray());
        return ValueTask.CompletedTask;
    }

    public async ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel)
    {
        while (_restAt == _rest.Length)
        {
            if (_closed)
                throw new PeerNetworkException("closed");
            _restAt = 0;
            if (_arrived.TryDequeue(out _rest!))
                break;
            _rest = [];
            if (_ended)
                return 0;
            cancel.ThrowIfCancellationRequested();
            var waiting = _waiting = new TaskCompletionSource();
            using var registration = cancel.UnsafeRegister(
                static waiting => ((TaskCompletionSource)waiting!).TrySetResult(), waiting);
            await waiting.Task;
        }

        int taken = Math.Min(buffer.Length, _rest.Length - _restAt);
        _rest.AsMemory(_restAt, taken).CopyTo(buffer);
        _restAt += taken;
        return taken;
    }

    public void Abort()
    {
        if (_closed)
            return;
        _closed = true;
        _waiting?.TrySetResult();
        // What was not on its way yet never will be: the kernel forgets it with the connection.
        _heldBack.Clear();
        Pass(null);
        _network.Forget(this);
    }

    public ValueTask DisposeAsync()
    {
        Abort();
        return ValueTask.CompletedTask;
    }

    /// <summary>Its process has ended; the other end hears of that, or never does.</summary>
    public void ProcessEnded(bool withoutReset)
    {
        _closed = true;
        if (!withoutReset)
            Pass(null);
        _network.Forget(this);
    }

    /// <summary>One direction of a link is whole again.</summary>
    public void Healed(int from, int to, bool tooLong)
    {
        if (Process.Machine != from || _other.Process.Machine != to)
            return;
        if (tooLong)
        {
            _heldBack.Clear();
            _heldBack.Enqueue(null);
        }

        while (_heldBack.TryDequeue(out byte[]? chunk))
            Travel(chunk);
    }

    /// <summary>Sends a chunk on its way; null: the end of the stream.</summary>
    private void Pass(byte[]? chunk)
    {
        if (IsCut || _heldBack.Count > 0)
            _heldBack.Enqueue(chunk);
        else
            Travel(chunk);
    }

    private void Travel(byte[]? chunk)
    {
        long at = Math.Max(_lastArrival, _network.Now + _network.NextDelay().Ticks);
        _lastArrival = at;
        _network.Set(new Arrival(_other, chunk), TimeSpan.FromTicks(at - _network.Now));
    }

    private void Arrive(byte[]? chunk)
    {
        if (_closed)
        {
            // Bytes for an end that is closed are answered with a reset, unless nobody is there to answer.
            if (chunk is not null && !Process.IsDead)
                _other.Arrive(null);
            return;
        }

        if (chunk is null)
            _ended = true;
        else
            _arrived.Enqueue(chunk);
        _waiting?.TrySetResult();
    }

    private sealed class Arrival(SimulatedConnection to, byte[]? chunk) : SimulatedClock.Due
    {
        public override void Run() => to.Arrive(chunk);
    }
}
