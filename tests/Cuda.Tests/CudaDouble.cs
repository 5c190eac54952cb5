// SPDX-License-Identifier: Apache-2.0

using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>
/// The double of libcuda, built with given definitions; each has devices of its own, and ends with nothing left on
/// them.
/// </summary>
internal sealed unsafe class CudaDouble : IDisposable
{
    private static readonly ConcurrentDictionary<string, Lazy<byte[]>> Built = new();

    private readonly string _path;
    private readonly nint _handle;

    internal CudaDouble(string definitions = "")
    {
        _path = Build(definitions);
        _handle = NativeLibrary.Load(_path);
        Library = CudaLibrary.TryOpen(_path, out string? reason)!;
        Assert.True(Library is not null, reason);
        Assert.Null(LibCuda.Probe(_path));
    }

    internal CudaLibrary Library { get; }

    /// <summary>Where the library is, for another process.</summary>
    internal string LibraryPath => _path;

    /// <summary>Copies that have been made.</summary>
    internal long Copies => ((delegate* unmanaged<nint>)Export("double_copies"))();

    /// <summary>Calls of any kind that have been made.</summary>
    internal long AllCalls => ((delegate* unmanaged<nint>)Export("double_all_calls"))();

    /// <summary>A file with the double, to be loaded once.</summary>
    internal static string Build(string definitions)
    {
        byte[] library = Built.GetOrAdd(definitions, given => new Lazy<byte[]>(() => Compile(given))).Value;
        // A copy is another library to the loader: with memory, devices and faults of its own.
        string path = Path.GetTempFileName();
        File.WriteAllBytes(path, library);
        return path;
    }

    internal CudaMemory Open(TimeProvider? time = null)
    {
        MeshResult<CudaMemory> opened = CudaMemory.Open(Library, time ?? TimeProvider.System);
        Assert.True(opened.Succeeded, opened.Error?.Message);
        return opened.Value;
    }

    /// <summary>
    /// What is there: 'c'ontexts, 'b'locks, 'i'pc, pinned 'h'ost memory, 's'treams, 'e'vents, 'm'odules.
    /// </summary>
    internal long Alive(char what) => ((delegate* unmanaged<byte, nint>)Export("double_alive"))((byte)what);

    /// <summary>All of that; and contexts that this thread has entered, and what is never right.</summary>
    internal string Left => string.Join(' ', "cbihsemdv".Where(what => Alive(what) != 0)
        .Select(what => $"{what}{Alive(what)}"));

    /// <summary>Has the nth call from now fail; 0: every one; code 0: none.</summary>
    internal void Fail(string call, int nth, int code)
    {
        fixed (byte* name = Encoding.UTF8.GetBytes(call + "\0"))
            ((delegate* unmanaged<byte*, nint, int, void>)Export("double_fail"))(name, nth, code);
    }

    internal long Calls(string call)
    {
        fixed (byte* name = Encoding.UTF8.GetBytes(call + "\0"))
            return ((delegate* unmanaged<byte*, nint>)Export("double_calls"))(name);
    }

    /// <summary>Has a device stop after so many more works.</summary>
    internal void Stall(int device, int after = 0) =>
        ((delegate* unmanaged<int, nint, void>)Export("double_stall"))(device, after);

    internal void GoOn(int device) => Stall(device, -1);

    /// <summary>Has the next copy of a device fail, and its context with it.</summary>
    internal void Break(int device, int code) =>
        ((delegate* unmanaged<int, int, void>)Export("double_break"))(device, code);

    internal void Latency(int microseconds) =>
        ((delegate* unmanaged<uint, void>)Export("double_latency"))((uint)microseconds);

    internal void Ways(bool strictPointers = false, bool hasDmaBuf = true, bool canPeer = true) =>
        ((delegate* unmanaged<int, int, int, void>)Export("double_ways"))(
            strictPointers ? 1 : 0, hasDmaBuf ? 1 : 0, canPeer ? 1 : 0);

    /// <summary>Whether the host can flush what cards wrote, and who sees it without that.</summary>
    internal void Flushes(bool can, int ordering = 0) =>
        ((delegate* unmanaged<int, int, void>)Export("double_flushes"))(can ? 1 : 0, ordering);

    internal nint Managed(int length) => ((delegate* unmanaged<nuint, nint>)Export("double_managed"))((nuint)length);

    internal void InPieces(nint address) => ((delegate* unmanaged<nint, void>)Export("double_in_pieces"))(address);

    /// <summary>Puts a kernel on a stream that takes its time and then fills memory.</summary>
    internal void Slow(nint stream, int milliseconds, nint to, byte value, int length) =>
        ((delegate* unmanaged<nint, uint, nint, uint, nuint, void>)Export("double_slow"))(
            stream, (uint)milliseconds, to, value, (nuint)length);

    internal byte[] Peek(nint address, int length)
    {
        byte[] bytes = new byte[length];
        fixed (byte* to = bytes)
        {
            Assert.Equal(1, ((delegate* unmanaged<nint, byte*, nuint, int>)Export("double_peek"))(
                address, to, (nuint)length));
        }

        return bytes;
    }

    internal void Poke(nint address, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* from = bytes)
        {
            Assert.Equal(1, ((delegate* unmanaged<nint, byte*, nuint, int>)Export("double_poke"))(
                address, from, (nuint)bytes.Length));
        }
    }

    /// <summary>A stream of a caller, in the context that everybody shares.</summary>
    internal CallerStream Stream(int device) => new(Library, device);

    public void Dispose()
    {
        // A device that was lost keeps what it had.
        File.Delete(_path);
    }

    private static byte[] Compile(string definitions)
    {
        using var compiler = new NativeDouble();
        return File.ReadAllBytes(compiler.Build("Double/CudaDouble.c", definitions, "-Wall -Wextra -Werror"));
    }

    private void* Export(string name) => (void*)NativeLibrary.GetExport(_handle, name);
}

/// <summary>What an inference engine has: a stream in the primary context.</summary>
internal sealed unsafe class CallerStream : IDisposable
{
    private readonly CudaLibrary _library;
    private readonly int _native;
    private readonly nint _context;
    private readonly nint _stream;

    internal CallerStream(CudaLibrary library, int device)
    {
        _library = library;
        int native;
        nint context, stream;
        Assert.Equal(0, library.cuDeviceGet(&native, device));
        Assert.Equal(0, library.cuDevicePrimaryCtxRetain(&context, native));
        Assert.Equal(0, library.cuCtxPushCurrent_v2(context));
        Assert.Equal(0, library.cuStreamCreate(&stream, 1));
        Assert.Equal(0, library.cuCtxPopCurrent_v2(&context));
        (_native, _context, _stream) = (native, context, stream);
    }

    internal nint Native => _stream;

    internal bool IsIdle
    {
        get
        {
            nint context;
            Assert.Equal(0, _library.cuCtxPushCurrent_v2(_context));
            int result = _library.cuStreamQuery(_stream);
            Assert.Equal(0, _library.cuCtxPopCurrent_v2(&context));
            return result == 0;
        }
    }

    /// <summary>Does something while this thread uses the stream's device.</summary>
    internal void Use(Action action)
    {
        nint context;
        Assert.Equal(0, _library.cuCtxPushCurrent_v2(_context));
        action();
        Assert.Equal(0, _library.cuCtxPopCurrent_v2(&context));
    }

    public void Dispose()
    {
        nint context;
        _library.cuCtxPushCurrent_v2(_context);
        _library.cuStreamDestroy_v2(_stream);
        _library.cuCtxPopCurrent_v2(&context);
        _library.cuDevicePrimaryCtxRelease_v2(_native);
    }
}
