// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Verbs.Tests.Engine;

/// <summary>Two transfer engines, each with registered memory; the near one has the far one open.</summary>
internal sealed class CardEngines : IDisposable
{
    private readonly TransferTransports _farTransports;
    private readonly int _bytes;

    internal CardEngines(int bytes, TransferTransports near = TransferTransports.Rdma,
        TransferTransports far = TransferTransports.Rdma, bool open = true)
    {
        _farTransports = far;
        _bytes = bytes;
        NearBytes = new GuardedMemory(bytes);
        FarBytes = new GuardedMemory(bytes);
        Near = Create("127.0.0.1", near);
        Assert.Null(Near.Register(NearBytes.Range.Address, (ulong)bytes));
        Far = Create("127.0.0.1", far);
        Assert.Null(Far.Register(FarBytes.Range.Address, (ulong)bytes));
        if (open)
            OpenFar();
    }

    internal TransferEngine Near { get; }

    internal TransferEngine Far { get; private set; }

    internal GuardedMemory NearBytes { get; }

    internal GuardedMemory FarBytes { get; }

    /// <summary>The far one's segment at the near one.</summary>
    internal int Target { get; private set; }

    internal void OpenFar()
    {
        var opened = Near.OpenSegment(Far.SegmentName);
        Assert.True(opened.Succeeded, opened.Error?.Message);
        Target = opened.Value;
    }

    /// <summary>The same place in both memories.</summary>
    internal TransferRequest Request(TransferOpcode opcode, long offset, long length) => new(opcode,
        NearBytes.Range.Address + (nint)offset, Target, (ulong)(FarBytes.Range.Address + (nint)offset), (ulong)length);

    /// <summary>Bytes to be moved, and zeroes where they go.</summary>
    internal (GuardedMemory From, GuardedMemory To) FillFor(TransferOpcode opcode, long length)
    {
        var (from, to) = opcode == TransferOpcode.Write ? (NearBytes, FarBytes) : (FarBytes, NearBytes);
        new Random((int)length).NextBytes(from.Bytes[..(int)length]);
        to.Bytes.Clear();
        return (from, to);
    }

    internal void EndFar() => Far.Dispose();

    /// <summary>A new life of the far one, under the same name.</summary>
    internal void StartFar()
    {
        Far = Create(Far.LocalAddress, _farTransports);
        Assert.Null(Far.Register(FarBytes.Range.Address, (ulong)_bytes));
    }

    public void Dispose()
    {
        Near.Dispose();
        Far.Dispose();
        NearBytes.AssertGuards();
        FarBytes.AssertGuards();
        NearBytes.Dispose();
        FarBytes.Dispose();
    }

    private static TransferEngine Create(string name, TransferTransports transports)
    {
        var engine = TransferEngine.Create(new TransferEngineOptions { LocalName = name, Transports = transports });
        Assert.True(engine.Succeeded, engine.Error?.Message);
        return engine.Value;
    }
}
