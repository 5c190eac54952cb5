// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.TestSupport;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Tests;

/// <summary>A request as the double of the library got it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PostedRequest
{
    public ulong WorkId;
    public ulong Address;
    public ulong RemoteAddress;
    public uint Pieces;
    public uint Kind;
    public uint Flags;
    public uint Chain;
}

/// <summary>The double of libibverbs, built with given definitions, and a sysfs of its own.</summary>
internal sealed unsafe class VerbsDouble : IDisposable
{
    private readonly NativeDouble _double = new();

    private readonly string _sysfs = System.IO.Directory.CreateTempSubdirectory("mooncake-mesh-sysfs-").FullName;
    private readonly nint _handle;

    internal VerbsDouble(string definitions = "")
    {
        string path = _double.Build("VerbsDouble.c", $"DEVICES=2 {definitions}");
        _handle = NativeLibrary.Load(path);
        Library = IbverbsLibrary.TryOpen(path, out string? reason)!;
        Assert.True(Library is not null, reason);
        Sysfs = new InfinibandSysfs(_sysfs);
    }

    internal IbverbsLibrary Library { get; }

    internal InfinibandSysfs Sysfs { get; }

    /// <summary>A letter for each object that was ended, in order.</summary>
    internal string Ended => Marshal.PtrToStringUTF8(
        ((delegate* unmanaged<nint>)NativeLibrary.GetExport(_handle, "double_ended"))())!;

    /// <summary>The access flags of the last registration.</summary>
    internal MemoryAccess Access =>
        (MemoryAccess)((delegate* unmanaged<uint>)NativeLibrary.GetExport(_handle, "double_access"))();

    /// <summary>The requests that were taken.</summary>
    internal List<PostedRequest> Posted
    {
        get
        {
            var next = (delegate* unmanaged<uint, PostedRequest*>)NativeLibrary.GetExport(_handle, "double_posted");
            var found = new List<PostedRequest>();
            while (next((uint)found.Count) is var posted && posted is not null)
                found.Add(*posted);
            return found;
        }
    }

    public void Dispose()
    {
        _double.Dispose();
        System.IO.Directory.Delete(_sysfs, recursive: true);
    }

    internal VerbsDevice Open()
    {
        VerbsDevice? device = VerbsDevice.Open(Library, Sysfs, "double0", out string? reason);
        Assert.True(device is not null, reason);
        return device;
    }

    /// <summary>Puts a line into a file of the sysfs.</summary>
    internal void Write(string file, string line)
    {
        string path = Path.Combine(_sysfs, file);
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, line + "\n");
    }
}
