// SPDX-License-Identifier: Apache-2.0

using BenchmarkDotNet.Attributes;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Bench;

/// <summary>
/// A batch of 128 keys out of a million: its way to the owner and back, without the sockets. Per batch.
/// </summary>
[MemoryDiagnoser]
public class LocateBenchmarks : IDisposable
{
    private const int Objects = 1_000_000;
    private const int Batch = 128;
    private readonly DirectoryTable _table = new(MeshConfig.DefaultSlots);
    private readonly MeshKey[][] _batches = new MeshKey[1024][];
    private readonly ReadOnlyMemory<byte>[] _requests = new ReadOnlyMemory<byte>[1024];
    private readonly List<int> _positions = [.. Enumerable.Range(0, Batch)];
    private OwnerService _owner = null!;
    private ReadOnlyMemory<byte> _answer;
    private int _turn;

    [Params(true, false)]
    public bool CodesOnly { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        var states = new SlotStates("n1", MeshConfig.DefaultSlots);
        _owner = new OwnerService(_table, states, _ => false, TimeProvider.System);
        states.Adopt(MeshView.Empty, new MeshView(new MeshConfig { MeshId = 1 }, 1,
            [new NodeRecord { NodeId = "n1", Incarnation = 1 }]));
        for (int i = 0; i < Objects; i++)
        {
            var key = Key(i);
            _table.Set(_table.SlotOf(key.Hash), key, new ObjectRecord
            {
                Version = new RecordVersion(1, 1, i + 1),
                ObjectId = key.Hash ^ 0x5555,
                Size = 4096,
                Checksum = key.Hash,
                Replicas = [new Replica(1, 0, (long)i << 12, key.Hash)],
            });
        }

        var random = new Random(1);
        for (int b = 0; b < _batches.Length; b++)
        {
            _batches[b] = [.. Enumerable.Range(0, Batch).Select(_ => Key(random.Next(Objects)))];
            using var frame = new Frame(new LocateRequest(_batches[b], false, CodesOnly));
            _requests[b] = frame.Body.ToArray();
        }

        var answer = FrameBuffer.Begin(MessageType.Answer, 1, out var writer);
        var reader = new MessagePackReader(_requests[0]);
        _owner.Locate(ref reader, _requests[0].Span, ref writer);
        answer.End(ref writer);
        var body = new MessagePackReader(answer.Bytes[4..]);
        body.ReadArrayHeader();
        body.Skip();
        body.Skip();
        _answer = answer.Bytes[(4 + (int)body.Consumed)..].ToArray();
        answer.Return();
    }

    [Benchmark]
    public int Ask()
    {
        var frame = FrameBuffer.Of(MessageType.Locate, 1,
            new LocateRequest(_batches[_turn++ & 1023], false, CodesOnly));
        int length = frame.Bytes.Length;
        frame.Return();
        return length;
    }

    [Benchmark]
    public int Answer()
    {
        var request = _requests[_turn++ & 1023];
        var reader = new MessagePackReader(request);
        var answer = FrameBuffer.Begin(MessageType.Answer, 1, out var writer);
        _owner.Locate(ref reader, request.Span, ref writer);
        answer.End(ref writer);
        int length = answer.Bytes.Length;
        answer.Return();
        return length;
    }

    [Benchmark]
    public bool Decode()
    {
        var reader = new MessagePackReader(_answer);
        var located = new Located(_batches[0], new SeenVersions(), TimeSpan.FromSeconds(1));
        located.Note(_positions, LocateAnswer.Read(ref reader));
        return located.IsPresent(Batch - 1);
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _table.Dispose();
        GC.SuppressFinalize(this);
    }

    private static MeshKey Key(int i)
    {
        var bytes = new byte[16];
        BitConverter.TryWriteBytes(bytes, (ulong)i * 0x9E3779B97F4A7C15);
        BitConverter.TryWriteBytes(bytes.AsSpan(8), (ulong)i);
        return new MeshKey(bytes);
    }

    private readonly ref struct Frame
    {
        private readonly System.Buffers.ArrayBufferWriter<byte> _bytes = new();

        public Frame(LocateRequest request)
        {
            var writer = new MessagePackWriter(_bytes);
            request.Write(ref writer);
            writer.Flush();
        }

        public ReadOnlyMemory<byte> Body => _bytes.WrittenMemory;

        public void Dispose() => _bytes.Clear();
    }
}
